"""A child process of `up`: its start, its output, its stop."""

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

from cli.up.guardian import Process
from cli.up.output import LogFile


@dataclass(frozen=True)
class ProcessSpec:
    """What to run, and how.

    Attributes:
        name: for people; also the name of the log.
        command: the program and its arguments.
        stop_signal, patience: the signal that stops it, and the seconds after which it is killed instead.
        environment: its whole environment; None is that of this process.
        user: arguments of `subprocess` that run it as another user.
        file_descriptors: inherited, besides standard input, output and error.
        prepare: called before each start.
        shown: whether its output goes to the terminal as well as to its log.
    """

    name: str
    command: Sequence[str | Path]
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 10
    environment: Mapping[str, str] | None = None
    user: Mapping[str, Any] = field(default_factory=dict)
    file_descriptors: Sequence[int] = ()
    prepare: Callable[[], None] = field(default=lambda: None)
    shown: bool = True


class Child:
    """A process by its spec.

    ``show`` is called with its name and each line of its output, ``report`` with a line if its log cannot be written.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        log: Path,
        show: Callable[[str, str], None],
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.spec = spec
        self.log = log
        self._file = LogFile(log, report)
        self._last_lines: deque[str] = deque(maxlen=15)
        self._show = show
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.recorded: Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Starts it in a process group of its own, so that Ctrl-C reaches only `up`, which stops all in order."""
        spec = self.spec
        spec.prepare()
        self._last_lines.clear()
        self._process = await asyncio.create_subprocess_exec(
            *spec.command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=spec.environment,
            pass_fds=spec.file_descriptors,
            start_new_session=True,
            **spec.user,
        )
        with suppress(psutil.NoSuchProcess):
            created = psutil.Process(self._process.pid).create_time()
            self.recorded = Process(spec.name, self._process.pid, created, spec.stop_signal, spec.patience)
        self._reader = asyncio.create_task(self._read(self._process))

    async def wait(self) -> str:
        """Waits until it has ended and its output is in the log. Returns how it ended, for people."""
        assert self._process
        assert self._reader
        code = await self._process.wait()
        with suppress(asyncio.TimeoutError):  # a grandchild may hold the pipe open
            await asyncio.wait_for(self._reader, 1)
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    async def stop(self) -> bool:
        """Stops it by its signal, and kills it if it takes too long. Returns whether it stopped by itself."""
        if not self.running:
            return True
        self._send(self.spec.stop_signal)
        try:
            await asyncio.wait_for(self.wait(), self.spec.patience)
        except TimeoutError:
            self.kill()
            await self.wait()
            return False
        self.kill()  # what is left of its process group
        return True

    def last_output(self) -> str:
        """Where to read why it ended, with the end of its output if the terminal did not show it."""
        if self.spec.shown:
            return f"Its output is above, and in {self.log}."
        return f"The end of {self.log}:\n  " + "\n  ".join(self._last_lines)

    def kill(self) -> None:
        """Kills it and every process of its group."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        rest = b""
        while chunk := await process.stdout.read(65536):
            self._file.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._line(line)
        self._file.close()
        if rest:
            self._line(rest)

    def _line(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()
        self._last_lines.append(line)
        if self.spec.shown:
            self._show(self.spec.name, line)
