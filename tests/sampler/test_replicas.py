"""Replicas, as real processes: two on the CPU, with one thread each, stand for two devices."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from sampler import Collocation, Engine, Parareal, Status
from sampler.errors import ReplicasFailed
from sampler.replicas import Replicas
from sampler.replicas.messages import Unfit, failed
from sampler.replicas.pool import split
from sampler.replicas.replica import Limits, Lost, Replica
from tests.sampler.problems import SHAPE, relative_error
from tests.sampler.studio import SIZE, Diary, Studio
from tests.until import PATIENCE, until


@pytest.fixture(scope="module")
def diary(tmp_path_factory) -> Diary:
    return Diary(tmp_path_factory.mktemp("replicas") / "diary")


@pytest.fixture(scope="module")
def reports() -> list[str]:
    return []


@pytest.fixture(scope="module")
def replicas(diary, reports) -> Iterator[Replicas]:
    factories = [partial(Studio, diary.path)] * 2
    # One test waits as long for a replica that hangs; on a busy machine the other tests need some time to answer.
    options = {"answer_seconds": 20.0, "replacements": 1, "report": reports.append}
    with Replicas(factories, threads=1, **options) as made:
        yield made


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Studio:
    """The same model in this process."""
    return Studio(tmp_path_factory.mktemp("studio") / "diary")


def draw(model, make: Callable, prompts: list[str], size=SIZE, steps=12, width=8):
    """Trajectories for some prompts, the n-th from seed n, run together to their ends."""
    engine = Engine(model, width)
    trajectories = []
    for seed, prompt in enumerate(prompts):
        trajectory = make(model.solver(steps, height=size, width=size), model.noise(seed, size, size))
        engine.add(trajectory, model.encode(prompt, guidance_scale=3.0))
        trajectories.append(trajectory)
    while engine.active:
        engine.round()
    return trajectories


srds = partial(Parareal, blocks=4, tolerance=0.0)
collocation = partial(Collocation, width=4, tolerance=1e-3)


def same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one.status is other.status is not Status.FAILED
        assert (one.rounds, one.evaluations) == (other.rounds, other.evaluations)
        assert relative_error(one.newest.sample, other.newest.sample) < 1e-5
    return True


@pytest.mark.parametrize("make", [srds, collocation], ids=["srds", "collocation"])
def test_images_are_those_of_one_process(replicas, studio, make):
    prompts = ["plain", "plain", "plain"]
    assert same(draw(replicas, make, prompts), draw(studio, make, prompts))


@pytest.mark.slow
def test_the_shipped_model(diary, studio):
    prompts = ["emoji red heart", "emoji pizza"]
    # It is loaded when it is first asked for, which takes longer than the other tests let an answer take.
    with Replicas([partial(Studio, diary.path)] * 2, threads=1, answer_seconds=100.0) as replicas:
        ours, theirs = (draw(model, srds, prompts, size=64, steps=6) for model in (replicas, studio))
        pictures = [replicas.decode(trajectory.newest.sample[None]) for trajectory in ours]
        with pytest.raises(ValueError, match="does not take true_cfg_scale"):
            replicas.encode("emoji pizza", "", 3.0, true_cfg_scale=2.0)
    assert same(ours, theirs)
    assert pictures[0].shape == (1, 64, 64, 3)
    for picture, trajectory in zip(pictures, theirs, strict=True):
        expected = studio.decode(trajectory.newest.sample[None])
        assert (picture.int() - expected.int()).abs().max() <= 1


def test_a_round_is_split_evenly_and_its_shares_run_at_the_same_time(replicas, diary):
    before = len(diary.read("begin"))
    pids = set(replicas.pids)
    draw(replicas, partial(Parareal, blocks=1), ["pair"] * 5, steps=2)  # ends only if both run at the same time
    begins = diary.read("begin")[before:]
    assert sorted(begin["size"] for begin in begins) == [2, 2, 3, 3]
    for first in (0, 2):
        assert {begin["pid"] for begin in begins[first : first + 2]} == pids


def test_shares_differ_by_one_at_most():
    assert split(list(range(7)), 3) == [[0, 1, 2], [3, 4], [5, 6]]
    assert split([4], 3) == [[4]]


def test_a_condition_is_sent_to_a_replica_once(replicas, diary):
    prompts = ["plain 1", "plain 2"]
    draw(replicas, srds, prompts)
    sent = [(line["prompt"], line["pid"]) for line in diary.read("unpacked") if line["prompt"] in prompts]
    assert len(sent) == len(set(sent)) == 4


def test_conditions_are_forgotten_and_sent_again(replicas, diary):
    condition, many = replicas.encode("plain old"), [replicas.encode("plain") for _ in range(100)]
    timestep = torch.full((100,), 500.0)
    x = (
        torch.stack([replicas.noise(seed, SIZE, SIZE) for seed in range(4)])[:, None]
        .repeat(1, 25, 1, 1, 1)
        .flatten(0, 1)
    )
    outputs = [replicas.denoise(x[:n], timestep[:n], conditions) for n, conditions in [(1, [condition]), (100, many)]]
    again = replicas.denoise(x[:1], timestep[:1], [condition])
    assert torch.equal(outputs[0], again)
    assert len([line for line in diary.read("unpacked") if line["prompt"] == "plain old"]) == 2


@pytest.mark.parametrize(
    ("prompt", "message"), [("raise", "LookupError: out of paint"), ("shape", "the model returned shape")]
)
def test_what_the_model_raises_fails_its_sample_alone_and_replaces_nothing(replicas, studio, prompt, message):
    pids = replicas.pids
    good, bad, late = draw(replicas, srds, ["plain", prompt, "plain"])
    assert bad.status is Status.FAILED
    assert message in bad.error
    reference = draw(studio, srds, ["plain", "plain", "plain"])
    assert relative_error(good.newest.sample, reference[0].newest.sample) < 1e-5
    assert relative_error(late.newest.sample, reference[2].newest.sample) < 1e-5
    assert replicas.pids == pids


def test_an_exception_travels_as_it_is(replicas):
    with pytest.raises(ValueError, match="there is no picture in this") as caught:
        replicas.decode(torch.zeros(1, 2, 4, 4))
    assert "studio.py" in caught.value.__notes__[0]


class Unpicklable(Exception):
    """Its copy cannot be made from its message alone."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("no"), ValueError, "no"),
        (Unpicklable(1, 2), RuntimeError, "Unpicklable: 1 and 2"),
        (torch.OutOfMemoryError("full"), Unfit, "OutOfMemoryError: full"),
        (RuntimeError("CUDA error: fault"), Unfit, "RuntimeError: CUDA error: fault"),
        (RuntimeError("can't allocate memory"), Unfit, "RuntimeError: can't allocate memory"),
    ],
)
def test_every_exception_can_be_sent(error, kind, message):
    reply = pickle.loads(pickle.dumps(failed(error)))
    with pytest.raises(kind, match=f"^{message}") as caught:
        reply.result()
    assert type(caught.value) is kind
    assert "In the replica" in caught.value.__notes__[0]


def test_the_reply_of_an_interrupted_call_is_not_taken_for_the_next_one(replicas, studio, diary):
    main = threading.main_thread().ident
    assert main is not None

    def interrupt():
        until(lambda: diary.read("linger"))
        signal.pthread_kill(main, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        replicas.encode("linger")
    interrupting.join()
    diary.write("resume")
    assert torch.equal(replicas.noise(7, SIZE, SIZE), studio.noise(7, SIZE, SIZE))


@pytest.mark.slow
def test_the_outputs_of_an_interrupted_round_are_not_taken_for_the_next_ones(replicas, diary):
    replica = Replica(partial(Studio, diary.path), 1, Limits(start=PATIENCE, answer=PATIENCE))
    replica.ready.result(PATIENCE)
    x, condition = torch.randn(1, *SHAPE), replicas.encode("plain")
    ended = len(diary.read("end"))
    replica.begin(x, [10.0], [condition])
    until(lambda: len(diary.read("end")) > ended)
    with pytest.raises(Lost, match="a round was interrupted"):
        replica.begin(2 * x, [10.0], [condition])
    replica.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "why"),
    [("die", "its process ended"), ("hang", "no answer in time"), ("memory", "OutOfMemoryError: out of memory")],
)
def test_a_replica_lost_in_mid_round_costs_no_trajectory(replicas, studio, diary, reports, trouble, why):
    pids = replicas.pids
    prompts = ["plain", f"{trouble} {trouble}", "plain"]
    assert same(draw(replicas, srds, prompts), draw(studio, srds, ["plain"] * 3))
    (lost,) = {line["pid"] for line in diary.read(trouble)}
    assert set(pids) - set(replicas.pids) == {lost}
    assert why in reports[-1]
    with pytest.raises(ProcessLookupError):
        os.kill(lost, 0)


def test_a_sample_that_no_replica_survives_is_given_up_and_others_go_on(replicas, studio):
    (bad,) = draw(replicas, partial(Parareal, blocks=1), ["die always"])
    assert bad.status is Status.FAILED
    assert "ReplicasFailed: replicas lost in a row: 2; the last: its process ended (-9)" in bad.error
    # Now none is ready: this waits for a fresh one.
    assert same(draw(replicas, srds, ["plain"]), draw(studio, srds, ["plain"]))


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_the_callers_error(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        Replicas([partial(Studio, tmp_path / "diary", fails=True)])


@pytest.mark.slow
def test_a_device_that_cannot_be_used_is_reported_and_the_others_go_on(tmp_path, studio):
    reports = []
    factories = [partial(Studio, tmp_path / "diary", fails=fails) for fails in (True, False)]
    with Replicas(factories, threads=1, retry_seconds=600, replacements=0, report=reports.append) as made:
        assert same(draw(made, srds, ["plain"], steps=4), draw(studio, srds, ["plain"], steps=4))
        assert reports == ["replica 0 could not be started: no such folder"]
        # The other one is lost in a call: it is replaced as it is in a round.
        os.kill(made.pids[1], signal.SIGKILL)
        with pytest.raises(ReplicasFailed, match="replicas lost in a row: 1"):
            made.noise(0, SIZE, SIZE)
        assert torch.equal(made.noise(0, SIZE, SIZE), studio.noise(0, SIZE, SIZE))


def test_closed_no_process_is_left(replicas):
    """The last test with these replicas, some of which may be starting just now."""
    pids = replicas.pids
    replicas.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert multiprocessing.active_children() == []
    with pytest.raises(ReplicasFailed, match="closed"):
        replicas.decode(torch.zeros(1, 4, 8, 8))


PARENT = """
import sys, time
from functools import partial
from pathlib import Path
from sampler.replicas import Replicas
from tests.sampler.studio import Studio

if __name__ == "__main__":
    replicas = Replicas([partial(Studio, Path(sys.argv[1]))], threads=1)
    print(*replicas.pids, flush=True)
    time.sleep(1000)
"""


@pytest.mark.slow
def test_replicas_end_with_their_parent_even_if_it_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, str(script), str(tmp_path / "diary")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.send_signal(signal.SIGKILL)
    status = Path(f"/proc/{pid}/status")
    until(lambda: not status.exists() or "\nState:\tZ" in status.read_text())
