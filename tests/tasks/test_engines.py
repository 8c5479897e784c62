"""The thread that computes for all jobs outlives whatever one of them does to it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from queue import SimpleQueue
from threading import Event
from typing import Literal

import pytest
from torch import Tensor

from sampler import Checkpoint, Engine, Evaluation, Iterate, Model, Parareal, Status, Trajectory
from sampler.denoiser import Condition
from store.catalog import Catalog
from tasks.engines import Engines, EngineThread, ImageBatch, ImageUpdate

Begun = dict[int, tuple[Condition, Trajectory]]


class Broken(Trajectory):
    """A trajectory with a bug."""

    def offers(self) -> Iterator[Evaluation]:
        raise RuntimeError("a bug")

    def take(self, evaluations: Sequence[Evaluation], outputs: Tensor) -> list[Iterate]:
        raise NotImplementedError

    def checkpoint(self) -> Checkpoint:
        raise NotImplementedError


class Undecodable(Parareal):
    """Its iterates have two channels, which the model cannot decode."""

    def take(self, evaluations: Sequence[Evaluation], outputs: Tensor) -> list[Iterate]:
        return [replace(iterate, sample=iterate.sample[:2]) for iterate in super().take(evaluations, outputs)]


@pytest.fixture
def thread(engines: Engines, catalog: Catalog) -> EngineThread:
    return engines.get(catalog["emoji"])


def started(
    thread: EngineThread,
    images: Sequence[int],
    make: Callable[[Model], Trajectory],
    pictures: Literal["all", "last", "none"] = "all",
) -> "SimpleQueue[ImageUpdate]":
    """Add a batch; its updates arrive in the queue."""
    updates: SimpleQueue[ImageUpdate] = SimpleQueue()
    batch = ImageBatch(
        tuple(images),
        lambda model, *_: {image: (model.encode("red heart", "", 3.0), make(model)) for image in images},
        lambda update: None if update.preparing else updates.put(update),
        pictures=pictures,
    )
    thread.add(batch)
    return updates


def good(model: Model) -> Trajectory:
    return Parareal(model.solver(4), model.noise(7, 64, 64), blocks=2)


def test_a_bug_fails_what_is_being_computed_and_nothing_later(thread: EngineThread) -> None:
    updates = started(thread, (0, 1), lambda _: Broken())
    failed = [updates.get(timeout=60) for _ in range(2)]
    assert {update.image for update in failed} == {0, 1}
    assert {update.error for update in failed} == {"the engine failed: RuntimeError: a bug"}

    updates = started(thread, (0,), good)
    while (update := updates.get(timeout=60)).status is Status.RUNNING:
        assert update.checkpoint is not None
    assert update.status is Status.EXACT


def test_a_sample_that_cannot_be_decoded_fails_its_image_alone(thread: EngineThread) -> None:
    others = started(thread, (0,), good)
    failed = started(thread, (1,), lambda model: Undecodable(model.solver(4), model.noise(7, 64, 64), blocks=2))
    update = failed.get(timeout=60)
    assert update.status is Status.FAILED
    assert (update.error or "").startswith("model emoji cannot make this picture: ")
    while (update := others.get(timeout=60)).status is Status.RUNNING:
        assert {iterate.number: (64, 64, 3) for iterate in update.iterates} == {
            number: picture.shape for number, picture in update.pictures.items()
        }
    assert update.status is Status.EXACT
    assert failed.empty(), "it is over with the first update"


@pytest.mark.parametrize(("pictures", "numbers"), [("all", [0, 1, 2]), ("last", [2]), ("none", [])])
def test_a_batch_gets_the_pictures_that_it_wants(
    thread: EngineThread, pictures: Literal["all", "last", "none"], numbers: list[int]
) -> None:
    updates = started(thread, (0,), good, pictures)
    found = list[int]()
    status = Status.RUNNING
    while status is Status.RUNNING:
        update = updates.get(timeout=60)
        found, status = found + list(update.pictures), update.status
    assert found == numbers


def test_a_batch_that_cannot_be_started_fails_alone(thread: EngineThread) -> None:
    def bad(model: Model) -> Trajectory:
        raise ValueError("no such picture")

    updates = started(thread, (3,), bad)
    assert updates.get(timeout=60).error == "model emoji cannot make this picture: no such picture"


def test_a_batch_is_told_how_many_others_share_the_rounds(thread: EngineThread) -> None:
    counts: list[int] = []
    go = Event()
    updates: SimpleQueue[ImageUpdate] = SimpleQueue()

    def batch(images: tuple[int, ...]) -> ImageBatch:
        def begin(model: Model, _: Engine, others: int) -> Begun:
            assert go.wait(60)
            counts.append(others)
            return {image: (model.encode("red heart", "", 3.0), good(model)) for image in images}

        return ImageBatch(images, begin, updates.put)

    thread.add(batch((0, 1)))
    thread.add(batch((0, 1, 2)))
    thread.add(batch((0,)))
    go.set()
    for _ in range(6):
        while updates.get(timeout=60).status is Status.RUNNING:
            pass
    assert counts[1:] == [3, 5]
    assert counts[0] in (0, 3, 4)  # the others may not have been there yet
