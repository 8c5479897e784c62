"""One replica, seen from the process that uses it."""

from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Lock, Thread, Timer
from time import monotonic
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing import get_context

from sampler.denoiser import Model
from sampler.replicas.messages import Portion, Reply, Unfit, pack, unpack
from sampler.replicas.serving import serve

CONDITIONS = 32
"""How many conditions a replica keeps, if a round has not more."""

GONE_SECONDS = 5.0
NO_ANSWER = "it gave no answer in time"


class Lost(Exception):
    """The replica is unusable; the message tells why."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A condition as its model's replicas will unpack it."""

    number: int
    signature: Hashable
    data: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a replica may take: to start and load its model, and for one answer; in seconds."""

    start: float
    answer: float


class Replica:
    """A process with the model on one device. Once lost it stays lost; the pool replaces it.

    One thread at a time may run rounds; any may call.
    """

    def __init__(self, factory: Callable[[], Model], threads: int | None, limits: Limits) -> None:
        """Start the process; `ready` tells what comes of it.

        `factory` loads the model, there; `threads` is torch's number of threads there, None its own choice.
        """
        context = get_context("spawn")
        self._rounds, rounds = context.Pipe()
        self._calls, calls = context.Pipe()
        self._process = context.Process(target=serve, args=(factory, threads, rounds, calls), daemon=True)
        self._process.start()
        rounds.close()
        calls.close()
        self._limits = limits
        self._calling = Lock()
        self._why = ""
        self._owes = False
        self._due = 0.0
        self._buffer: Tensor = torch.empty(2, 0)
        self._conditions: OrderedDict[int, None] = OrderedDict()
        self.started_at = monotonic()
        self.ready: Future[None] = Future()
        """Done when the model is loaded; the exception is that of the factory, or Lost."""
        Thread(target=self._load, daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None  # it was started
        return self._process.pid

    def kill(self, why: str) -> None:
        """End the process at once, whatever it is at: it holds nothing that is worth keeping. Any thread may."""
        self._why = self._why or why
        self._process.kill()

    def close(self) -> None:
        """Kill it, and wait until it is gone; not for long, since a process that is stuck in a driver may not go."""
        self.kill("it was closed")
        self._process.join(GONE_SECONDS)

    def begin(self, x: Tensor, timesteps: list[float], conditions: Sequence[Encoded]) -> None:
        """Have it evaluate samples (b, c, h, w); `finish` waits for the outputs.

        Raises:
            Lost: it died, or took too long.
        """
        if self._owes:
            # A round was left before its end, by Ctrl-C say: this one's answer would be taken for the next one's.
            self.kill("a round was interrupted")
        self._owes = True
        grown = self._buffer.shape[1] < x.numel()
        if grown:
            # By doubling, so that this is rare. (Tensors made in inference mode cannot be written outside of it.)
            with torch.inference_mode(False):
                self._buffer = torch.empty(2, 1 << (x.numel() - 1).bit_length())
                self._buffer.share_memory_()
        self._buffer[0, : x.numel()].view(x.shape).copy_(x)
        new, dropped = self._send_once(conditions)
        numbers = [condition.number for condition in conditions]
        share = Portion(x.shape, timesteps, numbers, new, dropped, self._buffer if grown else None)
        self._due = monotonic() + self._limits.answer
        # Without conditions it fits into the pipe, which is empty; a thread that watches costs more than the sending.
        with self._watched(self._limits.answer if new else None):
            self._rounds.send(share)

    def finish(self, shape: torch.Size) -> Tensor:
        """The outputs of the share that was begun, (b, c, h, w); they hold until the next one is begun.

        Raises:
            Lost: it died, took too long, or is unfit to go on.
            Exception: what the model raised.
        """
        with self._watched(None):
            self._wait(self._rounds, self._due - monotonic())
            answer: Reply = self._rounds.recv()
        self._owes = False
        self._value(answer)
        return self._buffer[1, : shape.numel()].view(shape)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Have its model do something else than denoise; beside a round, if there is one.

        Returns:
            What the method returned, on the CPU; of `encode`, the condition's signature and the packed condition.

        Raises:
            Lost, Exception: as `finish`.
        """
        request = pack((name, args, kwargs))
        with self._calling, self._watched(self._limits.answer):
            self._calls.send_bytes(request)
            self._wait(self._calls, self._limits.answer)
            answer: Reply = unpack(self._calls.recv_bytes(), "cpu")
        return self._value(answer)

    def _load(self) -> None:
        try:
            with self._watched(None):
                self._wait(self._rounds, self._limits.start)
                answer: Reply = self._rounds.recv()
            self._value(answer)
        except Exception as error:
            self.kill("its model could not be loaded")
            self.ready.set_exception(error)
        else:
            self.ready.set_result(None)

    def _send_once(self, conditions: Sequence[Encoded]) -> tuple[dict[int, bytes], list[int]]:
        """The conditions that the replica lacks, and the numbers of those that it need not keep any longer."""
        new: dict[int, bytes] = {}
        for condition in conditions:
            if condition.number not in self._conditions:
                new[condition.number] = condition.data
            self._conditions[condition.number] = None
            self._conditions.move_to_end(condition.number)
        used = len({condition.number for condition in conditions})
        excess = max(0, len(self._conditions) - max(CONDITIONS, used))
        return new, [self._conditions.popitem(last=False)[0] for _ in range(excess)]

    def _value(self, answer: Reply) -> Any:
        try:
            return answer.result()
        except Unfit as error:
            self.kill(str(error))
            raise Lost(str(error)) from error

    def _wait(self, pipe: "Connection[Any, Any]", seconds: float) -> None:
        """Until there is something to read. Not left to the kill alone: a process stuck in a driver outlives it."""
        if not pipe.poll(max(0.0, seconds)):
            self.kill(NO_ANSWER)
            raise Lost(self._why)

    @contextmanager
    def _watched(self, seconds: float | None) -> Generator[None]:
        """Have what goes wrong with a pipe end in Lost; kill the process if a large message is stuck so long."""
        timer = None
        if seconds is not None:
            timer = Timer(seconds, self.kill, [NO_ANSWER])
            timer.daemon = True
            timer.start()
        try:
            yield
        except (EOFError, OSError) as error:
            self._process.kill()
            self._process.join(GONE_SECONDS)
            raise Lost(self._why or f"its process ended ({self._process.exitcode}): {error!r}") from error
        except BaseException:
            # Interrupted: what is left in the pipe would be taken for the next answer.
            self.kill("a call was interrupted")
            raise
        finally:
            if timer is not None:
                timer.cancel()
