"""The engine: many trajectories over one model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler import Engine, Parareal, Status
from tests.sampler.problems import Mixture, Unconditional, noise, relative_error, run, solver


def drive(engine, rounds=10**6):
    """Run rounds; all progress, in order."""
    progress = []
    for _ in range(rounds):
        if not engine.active:
            break
        progress += engine.round()
    return progress


def start(engine, seed=0, steps=20, blocks=4, priority=0, condition=None, **stop):
    trajectory = Parareal(solver(steps), noise(seed), blocks=blocks, **stop)
    engine.add(trajectory, condition or Unconditional(), priority)
    return trajectory


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(st.integers(1, 25), st.integers(1, 6)), min_size=1, max_size=6), st.integers(1, 20), st.data()
)
def test_any_mix_of_trajectories_gives_each_the_image_it_has_alone(jobs, width, data):
    model = Mixture()
    engine = Engine(model, width)
    trajectories = {}
    canceled = data.draw(st.sets(st.integers(0, len(jobs) - 1)))
    for n, (steps, blocks) in enumerate(jobs):
        trajectories[n] = start(engine, seed=n, steps=steps, blocks=min(steps, blocks))
        drive(engine, data.draw(st.integers(0, 5)))
    for n in canceled:
        trajectories[n].cancel()
    drive(engine)
    assert engine.active == 0
    for n, (steps, _) in enumerate(jobs):
        if trajectories[n].status is Status.CANCELED:
            continue
        alone = run(model, Parareal(solver(steps), noise(n), blocks=1), 1)[-1]
        assert trajectories[n].status is Status.EXACT
        assert relative_error(trajectories[n].newest.sample, alone.sample) < 1e-5
    assert max(model.calls, default=0) <= max(width, 1)


def test_several_trajectories_share_rounds():
    model = Mixture()
    engine = Engine(model, 32)
    for seed in range(8):
        start(engine, seed, blocks=1)
    drive(engine)
    assert model.calls == [8] * 20
    assert (engine.statistics.rounds, engine.statistics.evaluations, engine.statistics.slots) == (20, 160, 640)


def test_a_deep_queue_is_plain_batched_serial_sampling():
    """More trajectories than slots: each of the oldest gets one slot a round, its serial path once it has a preview."""
    engine = Engine(Mixture(), 4)
    trajectories = [start(engine, seed) for seed in range(6)]
    drive(engine, 20 + 4 - 1)
    assert [t.status for t in trajectories[:4]] == [Status.EXACT] * 4
    assert [t.rounds for t in trajectories[4:]] == [0, 0]


def test_every_trajectory_gets_a_slot_before_any_gets_a_second():
    engine = Engine(Mixture(), 6)
    greedy = start(engine, 0, steps=64, blocks=16)
    drive(engine, 20)  # by now it could fill the width alone
    assert len(greedy.ready()) > 6
    others = [start(engine, seed) for seed in range(1, 4)]
    before = greedy.evaluations
    drive(engine, 1)
    assert [t.evaluations for t in others] == [1, 1, 1]
    assert greedy.evaluations - before == 3


def test_priority_goes_before_age():
    engine = Engine(Mixture(), 1)
    old = start(engine, 0)
    urgent = start(engine, 1, priority=1)
    drive(engine, 5)
    assert (old.rounds, urgent.rounds) == (0, 5)


def test_conditions_that_cannot_share_a_batch_are_called_apart_in_the_same_round():
    model = Mixture()
    engine = Engine(model, 8)
    for kind in (0, 0, 1):
        start(engine, blocks=1, condition=Unconditional(kind))
    engine.round()
    assert sorted(model.calls) == [1, 2]
    assert engine.statistics.rounds == 1


def test_cancel_takes_effect_before_the_next_round_and_is_reported():
    model = Mixture()
    engine = Engine(model, 8)
    trajectory, other = start(engine, 0), start(engine, 1)
    drive(engine, 3)
    trajectory.cancel()
    spent = trajectory.evaluations
    reported = [p for p in engine.round() if p.trajectory is trajectory]
    assert [p.status for p in reported] == [Status.CANCELED]
    assert trajectory.evaluations == spent
    drive(engine)
    assert other.status is Status.EXACT


def test_a_checkpoint_comes_with_each_iterate():
    engine = Engine(Mixture(), 8)
    trajectory = start(engine, tolerance=1e-2)
    progress = [p for p in drive(engine) if p.iterates]
    assert progress[-1].status is trajectory.status
    for p in progress:
        resumed = Parareal.resume(solver(20), p.checkpoint)
        assert resumed.newest.number == p.iterates[-1].number


class Broken(Mixture):
    """Fails for samples above a bound, in the way of `how`."""

    how = "raise"

    def denoise(self, x, timestep, conditions):
        bad = torch.tensor([condition.kind == 7 for condition in conditions])
        output = super().denoise(x, timestep, conditions)
        if not bad.any():
            return output
        if self.how == "raise":
            raise RuntimeError("out of paint")
        if self.how == "shape":
            return output[:, :1]
        output[bad] = float("nan")
        return output


@pytest.mark.parametrize(
    ("how", "message"),
    [("raise", "RuntimeError: out of paint"), ("shape", "the model returned shape"), ("nan", "non-finite")],
)
def test_a_sample_that_the_model_fails_ends_with_a_message_and_the_others_go_on(how, message):
    class Poison(Unconditional):
        @property
        def signature(self):
            return 0  # shares the others' batches

    model = Broken()
    model.how = how
    engine = Engine(model, 8)
    good, bad, late = start(engine, 0), start(engine, 1, condition=Poison(7)), start(engine, 2)
    progress = drive(engine)
    assert bad.status is Status.FAILED
    assert message in bad.error
    assert [p.status for p in progress if p.trajectory is bad] == [Status.FAILED]
    assert good.status is late.status is Status.EXACT


def test_a_state_that_overflows_fails_its_sample():
    class Huge(Mixture):
        def denoise(self, x, timestep, conditions):
            return torch.full_like(x, 3e38)

    engine = Engine(Huge(), 8)
    trajectory = start(engine)
    drive(engine)
    assert trajectory.status is Status.FAILED
    assert "finite" in trajectory.error


def test_an_engine_without_width_is_refused():
    with pytest.raises(ValueError, match="width"):
        Engine(Mixture(), 0)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_halves_the_width_for_good_and_fails_nothing(error):
    class Small(Mixture):
        def denoise(self, x, timestep, conditions):
            self.calls.append(len(x))
            if len(x) > 3:
                raise error
            self.calls.pop()
            return super().denoise(x, timestep, conditions)

    model = Small()
    engine = Engine(model, 8)
    trajectories = [start(engine, number) for number in range(8)]
    expected = [run(Mixture(), Parareal(solver(20), noise(n), blocks=4), 8)[-1].sample for n in range(8)]
    drive(engine)
    assert engine.width == 2
    assert [calls for calls in model.calls if calls > 3] == [8, 4], "once each"
    for trajectory, sample in zip(trajectories, expected, strict=True):
        assert trajectory.status is Status.EXACT
        assert relative_error(trajectory.newest.sample, sample) < 1e-5
