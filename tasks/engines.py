"""One thread per model: it loads the model on first use and runs rounds for the images of all jobs.

Other threads send it requests through a queue and get updates through a callback. Only this thread uses the sampler's
engine and the trajectories, and it decodes the pictures of its updates itself. No other thread may compute with
PyTorch: on a CPU every computing thread gets an OpenMP pool over all cores, and from the second pool on the threads of
all pools sleep between operations instead of spinning. On two cores an evaluation of the shipped model then takes 2.4
times as long.
"""

import gc
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import perf_counter, time_ns
from typing import Any, Literal

import torch
from celery.utils.log import get_logger
from torch import Tensor

from contract.warnings import Warning
from sampler import Checkpoint, Engine, Iterate, Model, Plan, Progress, Status, Trajectory
from sampler.denoiser import Condition
from sampler.replicas import Replicas
from store import logs, tracing
from store.catalog import Catalog, ModelCard
from tasks.devices import devices, dtype_of, load
from tasks.memory import Memory, TooLarge, meter, size_of
from tasks.metrics import Metrics
from tasks.pictures import decode

# What loads models and encodes prompts.
LIBRARIES = ("diffusers", "transformers", "huggingface_hub", "accelerate")

# How often, and after how much more of it, a job is told how much of its model is in memory.
TELL_SECONDS, TELL_SHARE = 1.0, 0.05

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ImageUpdate:
    """The news of one image after a round: the iterates that the round completed, and the image's status.

    Attributes:
        image: its number in the job.
        iterates: in order; may be empty when only the status changed.
        checkpoint: to resume from after the newest of `iterates`; None if there are none.
        status: final when this is the image's last update.
        error: why it failed, worded for the client.
        newest: the newest iterate of all; None if there is none yet.
        pictures: (H, W, 3), uint8 on the CPU, by the number of the iterate: those that the batch wants. Empty for
            a model with several devices, see `EngineThread.picture`.
        plan: of the image; only in the first update of an image that was not planned before.
        warnings: about the request of the job.
        preparing: the share of the model that is in memory, None in it when it is ready; None: no news.
    """

    image: int
    iterates: tuple[Iterate, ...]
    checkpoint: Checkpoint | None
    status: Status
    error: str | None
    newest: Iterate | None = None
    pictures: Mapping[int, Tensor] = field(default_factory=dict[int, Tensor])
    plan: Plan | None = None
    warnings: Sequence[Warning] = ()
    preparing: tuple[float | None] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class ImageBatch:
    """Images of one job for an engine to compute.

    Attributes:
        images: their numbers.
        begin: called on the engine's thread with its model, the sampler's engine, and how many images of other batches
            share its rounds or are about to. Returns the encoded prompt and the trajectory of each image.
        deliver: called on the engine's thread with every update; must not block.
        priority: a higher one goes first.
        pictures: which iterates are wanted as pictures: all, those that finish their image, or none.
    """

    images: tuple[int, ...]
    begin: Callable[[Model, Engine, int], Mapping[int, tuple[Condition, Trajectory]]]
    deliver: Callable[[ImageUpdate], None]
    priority: int = 0
    pictures: Literal["all", "last", "none"] = "all"
    trace: Any = None
    """The context of the run (`tracing.here`), which the batch's rounds are part of."""

    def prepare(self, share: float | None) -> None:
        """Deliver how much of the model is in memory; None when all of it is."""
        self.deliver(ImageUpdate(self.images[0], (), None, Status.RUNNING, None, preparing=(share,)))

    def fail(self, image: int, error: str) -> None:
        """Deliver that an image failed."""
        self.deliver(ImageUpdate(image, (), None, Status.FAILED, error))


class _Unloaded:
    """In the place of a model that was unloaded: its engine has nothing to compute."""

    device = torch.device("cpu")

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Any]) -> Tensor:
        raise RuntimeError("the model is unloaded")


class EngineThread(Thread):
    """The engine of one model."""

    def __init__(
        self,
        card: ModelCard,
        width: int,
        device: str,
        metrics: Metrics,
        memory: Memory | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        """`memory`: that the model shares with others. `idle_seconds`: without a job for so long, it is unloaded."""
        super().__init__(name=f"engine-{card.id}", daemon=True)
        self._memory = memory or Memory()
        self._idle_seconds = idle_seconds
        self._waiting: deque[ImageBatch] = deque()
        self._stopped_loading = Event()
        self._begun: set[ImageBatch] = set()
        self._accepted: set[ImageBatch] = set()
        self.width = width
        self._card = card
        self._device = device
        self._metrics = metrics
        self._model: Model | None = None
        self._engine: Engine | None = None
        self._requests: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._coming: set[ImageBatch] = set()
        self._seats: dict[Trajectory, tuple[ImageBatch, int]] = {}
        self._memory.join(card.id, lambda: self._requests.put(lambda: None))

    @property
    def lora_files(self) -> Mapping[str, Path]:
        """Those of its model, by name."""
        return self._card.lora_files

    @property
    def model(self) -> Model:
        """The model, which is loaded before the first update with iterates."""
        assert self._model is not None
        return self._model

    def picture(self, update: ImageUpdate, iterate: Iterate) -> Tensor:
        """The picture of an iterate of an update: (H, W, 3), uint8 on the CPU. Any thread may call this: a model with
        several devices decodes for as many threads in parallel, while its rounds go on."""
        if iterate.number in update.pictures:
            return update.pictures[iterate.number]
        with self._metrics.decoding.labels(self._card.id).time():
            return self.model.decode(iterate.sample[None])[0]

    @property
    def statistics(self) -> dict[str, int]:
        """The engine's counts so far: rounds, evaluations, and slots (how many evaluations the rounds had room for)."""
        return asdict(self._engine.statistics) if self._engine else {}

    def add(self, batch: ImageBatch) -> None:
        """Compute the images of a batch from the next round on."""
        self._coming.add(batch)
        self._requests.put(partial(self._enter, batch))

    def preload(self) -> None:
        """Load the model now, if there is room."""
        self._requests.put(self._preload)

    def release(self, batch: ImageBatch) -> None:
        """Nothing of a batch is needed any more, pictures included. Until then its model stays in memory."""

        def released() -> None:
            self._begun.discard(batch)
            self._drop_waiting(batch)

        self._requests.put(released)

    def cancel(self, batch: ImageBatch) -> Event:
        """Drop the rest of a batch before the next round; it gets no updates after that. Returns an event that is set
        when the round in progress is over."""
        dropped = Event()

        def drop() -> None:
            self._drop_waiting(batch)
            self._each(batch, Trajectory.cancel)
            dropped.set()

        self._requests.put(drop)
        return dropped

    def accept(self, batch: ImageBatch) -> None:
        """End the rest of a batch with its newest iterates, before the next round; an image without one ends with its
        first."""
        self._requests.put(partial(self._accept, batch))

    def hand_back(self, batch: ImageBatch, seconds: float) -> Mapping[int, tuple[int | None, Checkpoint]]:
        """Drop the rest of a batch before the next round. Returns (number of the newest iterate, checkpoint) for each
        image that has begun, and nothing if the round takes longer than ``seconds``. All updates are delivered
        before."""
        reply: SimpleQueue[Mapping[int, tuple[int | None, Checkpoint]]] = SimpleQueue()
        self._requests.put(lambda: reply.put(self._taken(batch)))
        try:
            return reply.get(timeout=seconds)
        except Empty:
            return {}

    def close(self) -> None:
        """End the thread after the round that is running."""
        self._requests.put(None)

    def run(self) -> None:
        """The thread: runs rounds while there is something to compute, and sleeps otherwise."""
        self._metrics.show_images(self._card.id, lambda: len(self._seats))
        while self._obey():
            if self._model is None or self._engine is None or not self._seats:
                continue
            try:
                self._answer(self._round(self._engine))
            except Exception as error:
                log.exception("the engine of model %s failed; the images that it computed fail", self._card.id)
                self._abandon(f"the engine failed: {type(error).__name__}: {error}")
        if isinstance(self._model, Replicas):
            self._model.close()

    def _enter(self, batch: ImageBatch) -> None:
        self._waiting.append(batch)
        if self._model is None:
            batch.prepare(0.0)

    def _drop_waiting(self, batch: ImageBatch) -> None:
        if batch in self._waiting:
            self._waiting.remove(batch)
            self._coming.discard(batch)
        self._accepted.discard(batch)

    def _accept(self, batch: ImageBatch) -> None:
        if batch in self._waiting:
            self._accepted.add(batch)
        self._each(batch, Trajectory.accept)

    def _preload(self) -> None:
        try:
            if self._admitted():
                self._loaded()
        except Exception as error:
            log.warning("model %s was not loaded: %s", self._card.id, error)
        if not self._waiting:
            self._memory.idle(self._card.id)

    def _admitted(self) -> bool:
        """Whether the model is in memory and may begin a job, or has room now. See `Memory.admits`."""
        return self._memory.admits(self._card.id, 0 if self._model is not None else self._size())

    def _size(self) -> int:
        """Bytes that the model will take, as far as its files tell."""
        return self._card.files_as(dtype_of(self._card, self._device)).size

    def _admit(self) -> None:
        """Begin the batches that wait, as far as the model may."""
        while self._waiting:
            batch = self._waiting[0]
            try:
                if not self._admitted():
                    break
            except TooLarge as error:
                self._waiting.popleft()
                self._coming.discard(batch)
                for image in batch.images:
                    batch.fail(image, f"model {self._card.id} cannot be loaded: {error}")
                continue
            self._waiting.popleft()
            self._begin(batch)
        if not self._seats and not self._begun:
            if not self._waiting:
                self._memory.idle(self._card.id)
            if self._model is not None and self._memory.must_leave(self._card.id):
                self._unload()
                if self._waiting:
                    self._admit()  # now it asks for room

    def _unload(self) -> None:
        """Take the model out of memory. What the engine has learned about its rounds stays."""
        log.info("model %s is unloaded", self._card.id)
        if isinstance(self._model, Replicas):
            self._model.close()
        self._model = None
        assert self._engine is not None
        self._engine.model = _Unloaded()
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        self._memory.left(self._card.id)

    def _round(self, engine: Engine) -> list[Progress]:
        self._metrics.engine_time.turn(self._card.id, "rounds")
        before, width, began = replace(engine.statistics), engine.width, perf_counter()
        started = time_ns()
        rounds = {trajectory: trajectory.rounds for trajectory in self._seats} if tracing.on() else {}
        progress = engine.round()
        if engine.width < width:
            log.warning("model %s: out of memory, from now on a round has width %d", self._card.id, engine.width)
        after, seconds = engine.statistics, perf_counter() - began
        took_part = {self._seats[each][0] for each, rounds_before in rounds.items() if each.rounds > rounds_before}
        for batch in took_part:
            shared = {"evaluations": after.evaluations - before.evaluations, "width": engine.width}
            tracing.record("round", started, time_ns(), batch.trace, **shared, jobs=len(took_part))
        if after.rounds > before.rounds:
            evaluations, slots = after.evaluations - before.evaluations, after.slots - before.slots
            self._metrics.round(self._card.id, evaluations, slots, seconds)
        return progress

    def _obey(self) -> bool:
        """Handle the requests since the last round; with nothing to compute, wait for one. False: end."""
        while True:
            if self._requests.empty():
                self._admit()
            if not self._seats:
                self._metrics.engine_time.turn(self._card.id, "waiting")
            try:
                request = self._requests.get(block=not self._seats, timeout=self._idle_left())
            except Empty:
                if self._seats:
                    return True
                self._unload()
                continue
            if request is None:
                return False
            request()

    def _idle_left(self) -> float | None:
        """How long the engine may wait before it unloads the model; None: for ever, or it need not wait."""
        if self._seats or self._begun or self._model is None or self._waiting:
            return None
        return self._idle_seconds

    def _each(self, batch: ImageBatch, action: Callable[[Trajectory], None]) -> None:
        for trajectory in self._of(batch):
            action(trajectory)

    def _taken(self, batch: ImageBatch) -> Mapping[int, tuple[int | None, Checkpoint]]:
        standing: dict[int, tuple[int | None, Checkpoint]] = {}
        for trajectory in self._of(batch):
            if trajectory.status is Status.RUNNING and trajectory.rounds:
                newest = trajectory.newest.number if trajectory.newest else None
                standing[self._seats[trajectory][1]] = (newest, trajectory.checkpoint())
            trajectory.cancel()
        return standing

    def _begin(self, batch: ImageBatch) -> None:
        self._metrics.engine_time.turn(self._card.id, "preparing")
        self._begun.add(batch)
        try:
            engine = self._loaded()
            self._coming.discard(batch)
            others = len(self._seats) + sum(len(coming.images) for coming in tuple(self._coming))
            begun = batch.begin(self.model, engine, others)
        except Exception as error:
            # The thread goes on for the other jobs, and the next batch tries again. The message is the client's: it may
            # quote the prompt.
            log.error("model %s: images cannot be started: %s", self._card.id, logs.where(error))
            self._coming.discard(batch)
            for image in batch.images:
                batch.fail(image, self._reason(error))
            return
        for image, (condition, trajectory) in begun.items():
            self._seats[trajectory] = (batch, image)
            engine.add(trajectory, condition, batch.priority)
        if batch in self._accepted:
            self._accepted.discard(batch)
            self._each(batch, Trajectory.accept)

    def _loaded(self) -> Engine:
        if self._model is None:
            self._memory.measure(self._card.id, meter(devices(self._device)[0], self._size()))
            told = Thread(target=self._tell_share, name=f"loading-{self._card.id}", daemon=True)
            told.start()
            try:
                self._model = load(self._card, self._device)
            except Exception as error:
                log.warning("model %s cannot be loaded: %s", self._card.id, error)
                self._memory.left(self._card.id, str(error) or type(error).__name__)
                raise
            finally:
                logs.adopt(*LIBRARIES)
                self._stopped_loading.set()
                told.join()
                self._stopped_loading.clear()
            self._memory.loaded(self._card.id, size_of(self._model))
            for batch in tuple(self._coming):
                batch.prepare(None)
        if self._engine is None:
            self._engine = Engine(self.model, self.width)
        self._engine.model = self.model
        return self._engine

    def _tell_share(self) -> None:
        """A thread beside that of the engine while it loads the model: tells the batches that wait how far it is."""
        told = 0.0
        while not self._stopped_loading.wait(TELL_SECONDS):
            share = self._memory.states()[self._card.id]["share"] or 0.0
            if share - told >= TELL_SHARE:
                told = share
                for batch in tuple(self._coming):
                    batch.prepare(share)

    def _reason(self, error: Exception) -> str:
        text = str(error) or type(error).__name__
        if self._model is not None:
            return f"model {self._card.id} cannot make this picture: {text}"
        return (
            f"model {self._card.id} could not be loaded: {text}. Where the worker runs, check the model's source and "
            "dtype in the catalogue, and UNDERPAINT_DEVICE; then submit the job again"
        )

    def _of(self, batch: ImageBatch) -> list[Trajectory]:
        return [trajectory for trajectory, (owner, _) in self._seats.items() if owner is batch]

    def _answer(self, changed: Sequence[Progress]) -> None:
        """Deliver what a round has changed, with the pictures that are wanted."""
        wanted = [self._wanted(progress) for progress in changed]
        pictures = self._decoded([iterate.sample for iterates in wanted for iterate in iterates])
        for progress, iterates in zip(changed, wanted, strict=True):
            self._deliver(progress, {iterate.number: next(pictures) for iterate in iterates})

    def _wanted(self, progress: Progress) -> Sequence[Iterate]:
        batch, _ = self._seats[progress.trajectory]
        newest = progress.trajectory.newest
        if batch.pictures == "none" or newest is None or isinstance(self.model, Replicas):
            return ()
        if batch.pictures == "all":
            return progress.iterates
        return () if progress.status in (Status.RUNNING, Status.CANCELED, Status.FAILED) else (newest,)

    def _decoded(self, samples: Sequence[Tensor]) -> Iterator[Tensor | Exception]:
        if not samples:
            return iter(())
        self._metrics.engine_time.turn(self._card.id, "decoding")
        began = perf_counter()
        pictures = list(decode(self.model.decode, samples))
        seconds = (perf_counter() - began) / len(pictures)
        for _ in pictures:
            self._metrics.decoding.labels(self._card.id).observe(seconds)
        return iter(pictures)

    def _deliver(self, progress: Progress, pictures: Mapping[int, Tensor | Exception]) -> None:
        trajectory, status = progress.trajectory, progress.status
        batch, image = self._seats[trajectory]
        if status is not Status.RUNNING:
            del self._seats[trajectory]
        if status is Status.CANCELED:
            return
        good: dict[int, Tensor] = {}
        for number, picture in pictures.items():
            if isinstance(picture, Exception):
                trajectory.cancel()
                batch.fail(image, self._reason(picture))
                return
            good[number] = picture
        known = (progress.iterates, progress.checkpoint, status, trajectory.error, trajectory.newest)
        batch.deliver(ImageUpdate(image, *known, good))

    def _abandon(self, error: str) -> None:
        """Fail everything that is being computed and go on with an empty engine."""
        seats, self._seats = self._seats, {}
        self._engine = Engine(self.model, self.width)
        for batch, image in seats.values():
            batch.fail(image, error)


class Engines:
    """The engine threads of this process, each started when its model is first asked for."""

    def __init__(
        self,
        width: int | None,
        device: str,
        metrics: Metrics | None = None,
        memory: Memory | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        """`width`: evaluations per round, for every model; None: that of its card. `device`: see WorkerSettings.
        `memory`, `idle_seconds`: see `EngineThread`."""
        self._memory = memory or Memory()
        self._idle_seconds = idle_seconds
        self._metrics = metrics or Metrics()
        self._width = width
        self._device = device
        self._threads: dict[str, EngineThread] = {}
        self._lock = Lock()

    def get(self, card: ModelCard) -> EngineThread:
        """The engine of a model."""
        with self._lock:
            if card.id not in self._threads:
                self._threads[card.id] = EngineThread(
                    card, self._width or card.width, self._device, self._metrics, self._memory, self._idle_seconds
                )
                self._threads[card.id].start()
            return self._threads[card.id]

    def statistics(self) -> dict[str, dict[str, Any]]:
        """What each engine has done so far, by model."""
        with self._lock:
            return {name: thread.statistics for name, thread in self._threads.items()}

    def states(self) -> dict[str, dict[str, Any]]:
        """What each model does, see `Memory.states`."""
        return self._memory.states()

    def preload(self, catalog: Catalog) -> None:
        """Load the models that the catalogue says so of, one after another, as far as they have room."""
        for card in catalog.values():
            if card.preload:
                self.get(card).preload()

    def close(self, seconds: float) -> None:
        """End all engines after their rounds; wait at most this many seconds for each."""
        with self._lock:
            for thread in self._threads.values():
                thread.close()
            for thread in self._threads.values():
                thread.join(seconds)
