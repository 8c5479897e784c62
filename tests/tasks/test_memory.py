"""Models share the memory of a worker: who may load when, and that every client gets its picture meanwhile."""

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tomlkit
from diffusers import DiffusionPipeline

from sampler import Lora, load_model, sample
from store.catalog import Catalog, load_catalog
from tasks.engines import Engines
from tasks.memory import Memory, TooLarge
from tests.sampler import lora_files, tiny
from tests.tasks.inside import Process, Start
from tests.tasks.jobs import Jobs
from tests.until import until

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


class Clock:
    """It stands still between the calls of a test."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Room:
    """A memory of 10 bytes with models that are loaded by hand."""

    def __init__(self, **sizes: int) -> None:
        self.clock = Clock()
        self.memory = Memory(10, self.clock)
        self.poked: list[str] = []
        self.sizes = sizes
        for name in sizes:
            self.memory.join(name, lambda name=name: self.poked.append(name))

    def asks(self, name: str) -> bool:
        return self.memory.admits(name, self.sizes[name])

    def load(self, name: str, seconds: float = 0.0) -> None:
        assert self.asks(name)
        self.clock.now += seconds
        self.memory.loaded(name, 0)

    def state(self, name: str) -> str:
        return self.memory.states()[name]["state"]


def test_models_that_fit_stay_beside_each_other() -> None:
    room = Room(a=4, b=6)
    room.load("a")
    room.load("b")
    assert (room.state("a"), room.state("b")) == ("ready", "ready")
    assert not room.memory.must_leave("a")


def test_the_idle_one_that_was_used_least_recently_leaves() -> None:
    room = Room(a=4, b=4, c=4)
    for name in ("a", "b"):
        room.load(name)
        room.memory.idle(name)
    room.clock.now += 1
    assert room.asks("a")
    room.memory.idle("a")
    assert not room.asks("c")
    assert room.state("c") == "waiting"
    assert [room.memory.must_leave(name) for name in ("a", "b")] == [False, True]
    room.poked.clear()
    room.memory.left("b")
    assert room.poked == ["c"]
    assert room.asks("c")
    assert room.state("c") == "preparing"


def test_one_with_jobs_keeps_its_turn_for_as_long_as_it_took_to_load() -> None:
    room = Room(a=8, b=8)
    room.load("a", seconds=5)
    assert not room.asks("b")
    room.clock.now += 4.9
    assert room.asks("a")
    assert not room.memory.must_leave("a")
    room.clock.now += 0.2
    assert not room.asks("a")
    assert room.memory.must_leave("a")


def test_those_that_wait_come_in_order() -> None:
    room = Room(a=8, b=8, c=2)
    room.load("a")
    assert not room.asks("b")
    assert not room.asks("c"), "it would fit now, but then others could keep b out for ever"
    room.memory.left("a")
    assert room.asks("b")
    assert room.asks("c")


def test_one_that_gives_up_lets_the_next_in() -> None:
    room = Room(a=8, b=8, c=2)
    room.load("a")
    assert not room.asks("b")
    assert not room.asks("c")
    room.memory.idle("b")
    assert room.state("b") == "absent"
    assert not room.memory.must_leave("a")
    assert room.asks("c")


def test_one_that_can_never_fit_is_refused_with_figures() -> None:
    memory = Memory(3 * 2**29)
    memory.join("a", lambda: None)
    with pytest.raises(TooLarge, match=r"needs 2\.00 GiB of memory, and models may take 1\.50 GiB here"):
        memory.admits("a", 2**31)
    assert memory.states()["a"]["state"] == "failed"
    assert Memory().limit is None


def test_one_that_could_not_be_loaded_says_so_and_may_try_again() -> None:
    room = Room(a=8)
    assert room.asks("a")
    room.memory.left("a", "its file is cut")
    assert room.memory.states()["a"] == {"state": "failed", "share": None, "size": 8, "error": "its file is cut"}
    room.load("a")
    assert room.memory.states()["a"] == {"state": "ready", "share": None, "size": 8, "error": None}


# In a worker ----------------------------------------------------------------------------------------------------------

SETS: list[tuple[str, dict[str, float]]] = [
    ("one", {}), ("one", {"ink": 1.0}), ("one", {"oil": 0.6, "ink": 0.5}), ("one", {"kohya": -0.8}), ("two", {}),
]  # fmt: skip
STEPS, HEIGHT, WIDTH = 4, 32, 48


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Two models, the first with three LoRA."""
    folder = tmp_path_factory.mktemp("crowded")
    for family in ("stable-diffusion", "stable-diffusion-xl"):
        tiny.build(family, folder)

    def pipeline() -> Any:
        return DiffusionPipeline.from_pretrained(folder / "stable-diffusion", local_files_only=True)

    (folder / "loras").mkdir()
    lora_files.diffusers_file(pipeline(), folder / "loras", "ink", 1)
    lora_files.diffusers_file(pipeline(), folder / "loras", "oil", 5, text=False)
    lora_files.kohya_file(pipeline(), folder / "loras", "kohya", 9)
    common = {
        "title": "T", "description": "D", "license": "MIT", "dtype": "float32", "width": 4, "example_prompts": ["a"],
        "defaults": {"steps": STEPS, "guidance_scale": 3.0, "width": WIDTH, "height": HEIGHT, "tolerance": 0.01},
        "limits": {
            "max_steps": 99, "min_size": 32, "max_size": 64, "multiple_of": 16, "max_guidance_scale": 9.0,
            "max_images": 1, "max_prompt_characters": 99,
        },
    }  # fmt: skip
    models = [
        {"id": "one", "source": "stable-diffusion", "lora_folder": "loras", **common},
        {"id": "two", "source": "stable-diffusion-xl", **common},
    ]
    (folder / "catalog.toml").write_text(tomlkit.dumps({"models": models}))
    return load_catalog(folder / "catalog.toml")


@pytest.fixture
def memory(crowded: Catalog) -> Memory:
    """With room for either model."""
    return Memory(max(card.files.size for card in crowded.values()) * 5 // 4)


@pytest.fixture
def made(memory: Memory) -> Iterator[Engines]:
    engines = Engines(None, "cpu", memory=memory)
    yield engines
    engines.close(10)


@pytest.fixture
def here(process: Start, crowded: Catalog, made: Engines) -> Process:
    return process(catalog=crowded, engines=made)


def expected(catalog: Catalog, model: str, scales: dict[str, float], seed: int) -> np.ndarray[Any, Any]:
    """The picture of a model that nobody else uses; `tests.sampler.test_loras` compares it with diffusers'."""
    card = catalog[model]
    loaded = load_model(card.location)
    loras = [Lora(name, str(card.lora_files[name]), scale) for name, scale in scales.items()]
    *_, last = sample(
        loaded, "red heart", guidance_scale=3.0, steps=STEPS, seed=seed, height=HEIGHT, width=WIDTH, method="serial",
        loras=loras,
    )  # fmt: skip
    return loaded.decode(last.sample[None])[0].numpy().astype(np.int16)


@pytest.mark.slow
def test_two_models_and_three_loras_are_used_in_turn_by_four_clients(
    jobs: Jobs, here: Process, crowded: Catalog, memory: Memory
) -> None:
    """On one worker, with room for one model: no failure, the right picture each time, and bounded switching."""
    pictures = {n: expected(crowded, *SETS[n], seed=n) for n in range(len(SETS))}
    workers = [here.start() for _ in range(4)]

    def client(number: int) -> list[tuple[int, Any]]:
        done: list[tuple[int, Any]] = []
        for turn in range(len(SETS)):
            n = (number + turn) % len(SETS)
            model, scales = SETS[n]
            loras = [{"name": name, "scale": scale} for name, scale in scales.items()]
            job = crowded.resolve(
                {"model": model, "prompt": "red heart", "seed": n, "method": "serial", "loras": loras}
            )
            job_id = jobs.submit_generation(job)
            workers.append(here.start())
            done.append((n, job_id))
            assert jobs.wait(job_id).state == "succeeded", jobs.get(job_id).error
        return done

    with ThreadPoolExecutor(4) as clients:
        done = [each for client_done in clients.map(client, range(4)) for each in client_done]
    for n, job_id in done:
        assert np.abs(jobs.pixels(job_id) - pictures[n]).max() <= 1, SETS[n]
    # Each of the four jobs with the second model makes it enter and leave at most once.
    assert 2 <= memory.loads <= 2 * 4 + 1


def test_a_job_says_that_its_model_is_loaded(jobs: Jobs, here: Process, crowded: Catalog) -> None:
    job_id = jobs.submit_generation(crowded.resolve({"model": "one", "prompt": "x", "seed": 1}))
    here.run()
    told = [event.data["preparing"] for event in jobs.events(job_id) if "preparing" in event.data]
    assert told[0] == 0
    assert told[-1] is None
    assert told[:-1] == sorted(told[:-1])
    assert jobs.get(job_id).preparing is None
    again = jobs.submit_generation(crowded.resolve({"model": "one", "prompt": "x", "seed": 2}))
    here.run()
    assert not [event for event in jobs.events(again) if "preparing" in event.data]


def test_a_model_that_cannot_fit_fails_its_job_with_figures_and_no_other(
    jobs: Jobs, process: Start, crowded: Catalog
) -> None:
    small, large = sorted(crowded.values(), key=lambda card: card.files.size)
    engines = Engines(None, "cpu", memory=Memory((small.files.size + large.files.size) // 2))
    here = process(catalog=crowded, engines=engines)
    ids = [
        jobs.submit_generation(crowded.resolve({"model": card.id, "prompt": "x", "seed": 1})) for card in (large, small)
    ]
    here.run()
    refused, good = (jobs.get(job_id) for job_id in ids)
    assert (refused.state, refused.failure) == ("failed", "model")
    assert "of memory, and models may take" in (refused.error or "")
    assert good.state == "succeeded"
    assert engines.states()[large.id]["state"] == "failed"
    engines.close(10)


def test_an_idle_model_is_unloaded_and_comes_back(jobs: Jobs, process: Start, crowded: Catalog) -> None:
    engines = Engines(None, "cpu", idle_seconds=0.2)
    here = process(catalog=crowded, engines=engines)

    def run(seed: int) -> Any:
        job_id = jobs.submit_generation(crowded.resolve({"model": "one", "prompt": "red heart", "seed": seed}))
        here.run()
        return jobs.pixels(job_id)

    first = run(1)
    card = crowded["one"]
    until(lambda: engines.states()["one"]["state"] == "absent")
    rounds = engines.get(card).statistics["rounds"]
    assert np.array_equal(run(1), first)
    assert engines.get(card).statistics["rounds"] > rounds, "what it has counted stays"
    engines.close(10)


def test_an_unloaded_model_is_out_of_memory(jobs: Jobs, here: Process, crowded: Catalog, made: Engines) -> None:
    one = made.get(crowded["one"])
    one.preload()
    until(lambda: made.states()["one"]["state"] == "ready")
    weights = weakref.ref(one.model.pipeline.unet.conv_in.weight)  # pyright: ignore[reportAttributeAccessIssue]
    job_id = jobs.submit_generation(crowded.resolve({"model": "two", "prompt": "x", "seed": 1}))
    here.run()
    assert jobs.get(job_id).state == "succeeded"
    gc.collect()
    assert weights() is None
    assert {name: each["state"] for name, each in made.states().items()} == {"one": "absent", "two": "ready"}


@pytest.mark.parametrize("wanted", [True, False])
def test_models_are_loaded_at_the_start_if_the_catalogue_says_so(crowded: Catalog, made: Engines, wanted: bool) -> None:
    changed = Catalog({"one": crowded["one"].model_copy(update={"preload": wanted})})
    made.preload(changed)
    if wanted:
        until(lambda: made.states()["one"]["state"] == "ready")
    else:
        assert made.states() == {}
