"""One process that `up` runs: how it starts, where its output goes, how it stops."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from cli.up.leftovers import Process

LOG_LIMIT = 10_000_000  # bytes; a log that is larger at a start is put aside, and the one put aside before is dropped


@dataclass(frozen=True)
class Plan:
    """What to run, and how.

    Attributes:
        name: what people call it; also the name of its log.
        command: the program and its arguments.
        stop_signal, patience: what tells it to stop, and how many seconds it may take over that.
        environment: all of its environment; None is that of this process.
        rights: more arguments for `subprocess`, to run it as another user.
        file_descriptors: what it inherits besides standard input, output and error.
        prepare: called before each start.
        shown: whether its output goes to the terminal too, not only to its log.
    """

    name: str
    command: Sequence[str | Path]
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 10
    environment: Mapping[str, str] | None = None
    rights: Mapping[str, Any] = field(default_factory=dict)
    file_descriptors: Sequence[int] = ()
    prepare: Callable[[], None] = field(default=lambda: None)
    shown: bool = True


class Child:
    """A plan, and the process that carries it out."""

    def __init__(self, plan: Plan, log: Path, show: Callable[[str, str], None]) -> None:
        self.plan = plan
        self.log = log
        self._last: deque[str] = deque(maxlen=15)
        self._show = show
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.recorded: Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Starts it, in a process group of its own: Ctrl-C in the terminal is for `up`, which stops all in order."""
        plan = self.plan
        plan.prepare()
        self._last.clear()
        self._process = await asyncio.create_subprocess_exec(
            *plan.command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=plan.environment,
            pass_fds=plan.file_descriptors,
            start_new_session=True,
            **plan.rights,
        )
        with suppress(psutil.NoSuchProcess):
            created = psutil.Process(self._process.pid).create_time()
            self.recorded = Process(plan.name, self._process.pid, created, plan.stop_signal, plan.patience)
        self._reader = asyncio.create_task(self._read(self._process))

    async def wait(self) -> str:
        """Returns when it has ended and all it said is in the log: how it ended, in words."""
        assert self._process
        assert self._reader
        code = await self._process.wait()
        with suppress(asyncio.TimeoutError):  # a grandchild may hold the pipe open
            await asyncio.wait_for(self._reader, 1)
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    async def stop(self) -> bool:
        """Tells it to stop and waits; kills it when it takes too long. Returns whether it went by itself."""
        if not self.running:
            return True
        self._send(self.plan.stop_signal)
        try:
            await asyncio.wait_for(self.wait(), self.plan.patience)
        except TimeoutError:
            self.kill()
            await self.wait()
            return False
        self.kill()  # whatever it left of its process group
        return True

    def last_words(self) -> str:
        """Where to read why it ended; what the terminal has not shown comes along."""
        if self.plan.shown:
            return f"What it said is above, and in {self.log}."
        return f"The end of {self.log}:\n  " + "\n  ".join(self._last)

    def kill(self) -> None:
        """Ends it, and every process of its group, without asking."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        rest = b""
        with self.log.open("ab", buffering=0) as log:
            while chunk := await process.stdout.read(65536):
                log.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._say(line)
        if rest:
            self._say(rest)

    def _say(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()
        self._last.append(line)
        if self.plan.shown:
            self._show(self.plan.name, line)
