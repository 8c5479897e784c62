"""One replica, as the main process sees it."""

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

from sampler.denoiser import Lora, Model
from sampler.replicas.messages import Portion, Reply, Unfit, pack, unpack
from sampler.replicas.serving import serve

CONDITIONS = 32
"""How many conditions a replica keeps; more only if one round has more."""

GONE_SECONDS = 5.0
NO_REPLY = "it gave no answer in time"


class Lost(Exception):
    """The replica cannot be used any more; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A condition, packed for the replicas of its model."""

    number: int
    signature: Hashable
    data: bytes
    loras: tuple[Lora, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a replica may take to start and load its model, and to reply once, in seconds."""

    start: float
    answer: float


class Replica:
    """A process with the model on one device. A replica that was lost stays lost; the pool replaces it.

    Only one thread at a time may run rounds. Any thread may call.
    """

    def __init__(self, factory: Callable[[], Model], threads: int | None, limits: Limits) -> None:
        """Start the process. `ready` is done when it has loaded the model or failed.

        Args:
            factory: loads the model, in the process.
            threads: PyTorch's number of threads in the process; None for PyTorch's own choice.
            limits: see `Limits`.
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
        self._outstanding = False
        self._due = 0.0
        self._buffer: Tensor = torch.empty(2, 0)
        self._conditions: OrderedDict[int, None] = OrderedDict()
        self.started_at = monotonic()
        self.ready: Future[None] = Future()
        """Done when the model is loaded. Its exception is the error of the factory, or Lost."""
        Thread(target=self._load, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process ID."""
        assert self._process.pid is not None  # it was started
        return self._process.pid

    def kill(self, why: str) -> None:
        """End the process at once; it has no state that is worth keeping. May be called on any thread."""
        self._why = self._why or why
        self._process.kill()

    def close(self) -> None:
        """Kill the process and wait briefly until it has ended: one that hangs in a driver may not end."""
        self.kill("it was closed")
        self._process.join(GONE_SECONDS)

    def begin(self, x: Tensor, timesteps: list[float], conditions: Sequence[Encoded]) -> None:
        """Start to evaluate samples (b, c, h, w). `finish` waits for the outputs.

        Raises:
            Lost: the process died or took too long.
        """
        if self._outstanding:
            # The round before was interrupted, for example by Ctrl-C: its reply would be taken for that of this round.
            self.kill("a round was interrupted")
        self._outstanding = True
        grown = self._buffer.shape[1] < x.numel()
        if grown:
            # The size doubles, so that this is rare. Tensors made in inference mode cannot be written outside of it.
            with torch.inference_mode(False):
                self._buffer = torch.empty(2, 1 << (x.numel() - 1).bit_length())
                self._buffer.share_memory_()
        self._buffer[0, : x.numel()].view(x.shape).copy_(x)
        new, dropped = self._send_once(conditions)
        numbers = [condition.number for condition in conditions]
        share = Portion(x.shape, timesteps, numbers, new, dropped, self._buffer if grown else None)
        self._due = monotonic() + self._limits.answer
        # Without new conditions the message fits into the empty pipe, so that sending it cannot block: no timer.
        with self._watched(self._limits.answer if new else None):
            self._rounds.send(share)

    def finish(self, shape: torch.Size) -> Tensor:
        """The outputs of the share that was begun, (b, c, h, w). They are valid until the next `begin`.

        Raises:
            Lost: the process died, took too long, or cannot go on.
            Exception: the error of the model.
        """
        with self._watched(None):
            self._wait(self._rounds, self._due - monotonic())
            reply: Reply = self._rounds.recv()
        self._outstanding = False
        self._value(reply)
        return self._buffer[1, : shape.numel()].view(shape)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call another method of its model than `denoise`, in parallel to a round.

        Returns:
            The result, on the CPU; for `encode` the condition's signature and the packed condition.

        Raises:
            Lost, Exception: see `finish`.
        """
        request = pack((name, args, kwargs))
        with self._calling, self._watched(self._limits.answer):
            self._calls.send_bytes(request)
            self._wait(self._calls, self._limits.answer)
            reply: Reply = unpack(self._calls.recv_bytes(), "cpu")
        return self._value(reply)

    def _load(self) -> None:
        try:
            with self._watched(None):
                self._wait(self._rounds, self._limits.start)
                reply: Reply = self._rounds.recv()
            self._value(reply)
        except Exception as error:
            self.kill("its model could not be loaded")
            self.ready.set_exception(error)
        else:
            self.ready.set_result(None)

    def _send_once(self, conditions: Sequence[Encoded]) -> tuple[dict[int, bytes], list[int]]:
        """The conditions that the replica does not have, and the numbers of those that it can delete."""
        new: dict[int, bytes] = {}
        for condition in conditions:
            if condition.number not in self._conditions:
                new[condition.number] = condition.data
            self._conditions[condition.number] = None
            self._conditions.move_to_end(condition.number)
        used = len({condition.number for condition in conditions})
        excess = max(0, len(self._conditions) - max(CONDITIONS, used))
        return new, [self._conditions.popitem(last=False)[0] for _ in range(excess)]

    def _value(self, reply: Reply) -> Any:
        try:
            return reply.result()
        except Unfit as error:
            self.kill(str(error))
            raise Lost(str(error)) from error

    def _wait(self, pipe: "Connection[Any, Any]", seconds: float) -> None:
        """Wait until there is something to read.

        Raises:
            Lost: there was nothing in time. A process that hangs in a driver may survive the kill, so that no end of
                the pipe would end the wait.
        """
        if not pipe.poll(max(0.0, seconds)):
            self.kill(NO_REPLY)
            raise Lost(self._why)

    @contextmanager
    def _watched(self, seconds: float | None) -> Generator[None]:
        """Turn errors of a pipe into Lost. Kill the process if a large message is not sent within so many seconds."""
        if self._why:
            # A killed process may have replied before: perhaps to what was interrupted.
            raise Lost(self._why)
        timer = None
        if seconds is not None:
            timer = Timer(seconds, self.kill, [NO_REPLY])
            timer.daemon = True
            timer.start()
        try:
            yield
        except (EOFError, OSError) as error:
            self._process.kill()
            self._process.join(GONE_SECONDS)
            raise Lost(self._why or f"its process ended ({self._process.exitcode}): {error!r}") from error
        except BaseException:
            # Interrupted: the rest of this reply would be taken for the next one.
            self.kill("a call was interrupted")
            raise
        finally:
            if timer is not None:
                timer.cancel()
