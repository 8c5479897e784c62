"""Replicas: one model on several devices, which the engine uses like one model."""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from itertools import count, pairwise
from threading import Lock
from time import monotonic
from typing import Any, Self

import torch
from torch import Tensor

from sampler.denoiser import Condition, Lora, Model
from sampler.errors import ReplicasFailed
from sampler.original import Original, Reference
from sampler.replicas.replica import Encoded, Limits, Lost, Replica
from sampler.solvers import Solver


class Replicas:
    """A model (see `Model`) whose rounds are split over processes, one for each device.

    Samples stay on the CPU. The main process uses no device, so that a process that hangs in a driver can be killed. A
    replica also encodes and decodes, in parallel to its rounds: another copy of the model for that would take its
    memory twice.
    """

    def __init__(
        self,
        factories: Sequence[Callable[[], Model]],
        *,
        threads: int | None = None,
        start_seconds: float = 600.0,
        answer_seconds: float = 300.0,
        retry_seconds: float = 60.0,
        replacements: int = 3,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Start a replica for each factory, and wait until each has loaded its model or failed.

        Args:
            factories: each loads the same model on another device, in the process of its replica. They must be
                picklable, like `functools.partial(load_model, folder, "cuda:1")`.
            threads: PyTorch's threads in each replica; None for PyTorch's own choice.
            start_seconds, answer_seconds: a replica that takes longer to load the model, or to reply, is killed and
                replaced.
            retry_seconds: how long after its start a replica that could not load its model is started again.
            replacements: how many replicas may be lost in a row before a round fails.
            report: receives a line when a replica is lost or cannot be started. Called on any thread.

        Raises:
            ValueError: there is no factory.
            Exception: the error of the first factory, if none succeeded.
        """
        if not factories:
            raise ValueError("replicas need at least one device")
        self._factories = list(factories)
        self._threads = threads
        self._limits = Limits(start_seconds, answer_seconds)
        self._retry_seconds = retry_seconds
        self._replacements = replacements
        self._report = report
        self._numbers = count()
        self._lock = Lock()  # for _closed and _replicas
        self._closed = False
        self._replicas = [self._start(place) for place in range(len(factories))]
        wait([replica.ready for replica in self._replicas])
        errors = [replica.ready.exception() for replica in self._replicas]
        if errors[0] is not None and None not in errors:
            self.close()
            raise errors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def device(self) -> torch.device:
        """The device of the samples: the CPU. Replicas copy them to their own devices."""
        return torch.device("cpu")

    @property
    def pids(self) -> list[int]:
        """The process IDs of the replicas."""
        return [replica.pid for replica in self._replicas]

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Encoded]) -> Tensor:
        """One batched forward pass, see `Denoiser.denoise`, split evenly over the replicas that are ready.

        If a replica is lost, the others evaluate its share again, or the next replica that becomes ready.

        Raises:
            ReplicasFailed: too many replicas in a row were lost, or there is none.
            Exception: the error of the model.
        """
        output = torch.empty_like(x)
        todo = list(range(len(x)))
        in_a_row = 0
        while todo:
            losses = self._evaluate(todo, x, timestep, conditions, output)
            left = [n for _, share, _ in losses for n in share]
            in_a_row = len(losses) + (in_a_row if len(left) == len(todo) else 0)
            if losses and in_a_row > self._replacements:
                raise ReplicasFailed(f"replicas lost in a row: {in_a_row}; the last: {losses[-1][2]}")
            todo = left
        return output

    def _evaluate(
        self, todo: list[int], x: Tensor, timestep: Tensor, conditions: Sequence[Encoded], output: Tensor
    ) -> list[tuple[Replica, list[int], Lost]]:
        """Evaluate some samples of a batch, split over the replicas, and write their outputs into `output`.

        Returns:
            The replicas that were lost (they are replaced already), each with its share and the reason.
        """
        begun: list[tuple[Replica, list[int]]] = []
        losses: list[tuple[Replica, list[int], Lost]] = []
        errors: list[Exception] = []
        replicas = self._available()
        for replica, share in zip(replicas, split(todo, len(replicas)), strict=False):
            timesteps = [float(timestep[n]) for n in share]
            try:
                replica.begin(x[share], timesteps, [conditions[n] for n in share])
                begun.append((replica, share))
            except Lost as error:
                losses.append((replica, share, error))
        # Wait for every reply, even if another one is an error: afterwards no reply is outstanding.
        for replica, share in begun:
            try:
                output[share] = replica.finish(x[share].shape)
            except Lost as error:
                losses.append((replica, share, error))
            except Exception as error:
                errors.append(error)
        for replica, _, error in losses:
            self._replace(replica, error)
        if errors:
            raise errors[0]
        return losses

    def solver(
        self,
        steps: int,
        name: str | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        seed: int = 0,
        eta: float = 0.0,
        original: Original | None = None,
    ) -> Solver:
        """See `Model.solver`."""
        return self._call("solver", steps, name, height=height, width=width, seed=seed, eta=eta, original=original)

    def noise(
        self, seed: int, height: int, width: int, *, original: Original | None = None, steps: int | None = None
    ) -> Tensor:
        """See `Model.noise`."""
        return self._call("noise", seed, height, width, original=original, steps=steps)

    def encode(
        self,
        prompt: str,
        negative_prompt: str = "",
        guidance_scale: float = 7.5,
        *,
        steps: int | None = None,
        height: int | None = None,
        width: int | None = None,
        original: Original | None = None,
        references: Sequence[Reference] = (),
        seed: int = 0,
        loras: Sequence[Lora] = (),
        **options: float,
    ) -> Condition:
        """See `Model.encode`. A replica receives the condition with its first sample, and keeps it."""
        more: dict[str, Any] = {"steps": steps, "height": height, "width": width, "original": original, "seed": seed}
        # Models without LoRA or references need not take the arguments.
        given = {"loras": tuple(loras), "references": tuple(references)}
        changes: dict[str, Any] = {name: each for name, each in given.items() if each}
        encoded: tuple[Hashable, bytes] = self._call(
            "encode", prompt, negative_prompt, guidance_scale, **more, **changes, **options
        )
        return Encoded(next(self._numbers), *encoded, tuple(loras))

    def substitute(self) -> tuple[str, str] | None:
        """See `Model.substitute`."""
        return self._call("substitute")

    def decode(self, samples: Tensor) -> Tensor:
        """See `Model.decode`. May be called on any thread."""
        return self._call("decode", samples.clone())  # a view would be packed with its whole storage

    def close(self) -> None:
        """End all processes. Rounds and calls that are running fail."""
        with self._lock:
            self._closed = True
            for replica in self._replicas:
                replica.close()

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the model in the first ready replica, or in another one if that one is lost."""
        in_a_row = 0
        while True:
            replica = self._available()[0]
            try:
                return replica.call(name, *args, **kwargs)
            except Lost as error:
                self._replace(replica, error)
                in_a_row += 1
                if in_a_row > self._replacements:
                    raise ReplicasFailed(f"replicas lost in a row: {in_a_row}; the last: {error}") from error

    def _available(self) -> list[Replica]:
        """The replicas that are ready. If none is, wait until one is."""
        while True:
            with self._lock:
                self._check_open()
                for place, replica in enumerate(self._replicas):
                    if _failed(replica) and monotonic() - replica.started_at > self._retry_seconds:
                        self._replicas[place] = self._start(place)
                replicas = list(self._replicas)
            if ready := [replica for replica in replicas if replica.ready.done() and not _failed(replica)]:
                return ready
            starting = [replica.ready for replica in replicas if not replica.ready.done()]
            if not starting:
                raise ReplicasFailed(f"no replica could be started: {replicas[0].ready.exception()}")
            wait(starting, return_when=FIRST_COMPLETED)

    def _replace(self, replica: Replica, error: Lost) -> None:
        """Start a new replica in place of a lost one, unless another thread has done so."""
        replica.close()
        with self._lock:
            self._check_open()
            place = next((n for n, other in enumerate(self._replicas) if other is replica), None)
            if place is not None:
                self._replicas[place] = self._start(place)
        if place is not None:
            self._report(f"replica {place} was lost and is replaced: {error}")

    def _start(self, place: int) -> Replica:
        replica = Replica(self._factories[place], self._threads, self._limits)
        replica.ready.add_done_callback(lambda _: self._report_failure(place, replica))
        return replica

    def _report_failure(self, place: int, replica: Replica) -> None:
        if _failed(replica) and not self._closed:
            self._report(f"replica {place} could not be started: {replica.ready.exception()}")

    def _check_open(self) -> None:
        if self._closed:
            raise ReplicasFailed("the replicas were closed")


def split(items: list[int], parts: int) -> list[list[int]]:
    """Split into `parts` runs whose lengths differ by at most one, longer ones first; at most one run for each item."""
    parts = min(parts, len(items))
    edges = [-(-len(items) * n // parts) for n in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(edges)]


def _failed(replica: Replica) -> bool:
    return replica.ready.done() and replica.ready.exception() is not None
