"""Starts the children of `up`, restarts them, stops them in order, and records which of them run."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from cli.errors import CommandError
from cli.up.child import Child, ProcessSpec
from cli.up.datadir import DataDir
from cli.up.output import Terminal, why

T = TypeVar("T")

LONGEST_PAUSE = 30  # s before a child that keeps ending is started again
STABLE = 60  # s; the pause starts at 1 s again for a child that ran for longer
RECORD_AGAIN = 1.0  # s after which a record that could not be written is tried again


class Supervisor:
    """Starts children in the order in which they depend on each other, and stops them in the reverse order.

    Until `startup_done`, the end of a child is a failed start. After that it is started again, each time after a longer
    pause.
    """

    def __init__(self, data: DataDir, url: str, terminal: Terminal) -> None:
        self._data = data
        self._url = url
        self._terminal = terminal
        self._children: list[Child] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._recording: asyncio.Task[None] | None = None
        self._failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._startup_done = False
        self.stopping = False

    async def start(self, spec: ProcessSpec) -> None:
        """Starts and watches a child.

        Raises:
            CommandError: it cannot be started.
        """
        child = Child(spec, self._data.logs / f"{spec.name}.log", self._terminal.log, self._terminal.note)
        self._children.append(child)
        try:
            await self._start(child)
        except OSError as error:
            raise CommandError(f"{spec.name} cannot be started: {why(error)}.") from error
        self._watchers.append(asyncio.create_task(self._watch(child)))

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, unless a child ends first.

        Raises:
            CommandError: a child ended; says which, and shows its last output.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise CommandError(self._failure.result())
            return task.result()
        finally:
            task.cancel()

    def startup_done(self) -> None:
        """From now on a child that ends is started again."""
        self._startup_done = True

    async def stop(self) -> None:
        """Stops all children, the newest first. A child that cannot be stopped does not keep the others."""
        self.stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for child in reversed(self._children):
            if child.running:
                self._terminal.note(f"Stopping {child.spec.name}")
                if not await child.stop():
                    self._terminal.note(
                        f"{child.spec.name} did not stop within {child.spec.patience:g} s and was killed"
                    )
        if self._recording:
            self._recording.cancel()
        with suppress(OSError):  # the processes in the old record have ended, and are recognized by their start
            self._data.record.write(self._url, [])

    def kill(self) -> None:
        """Kills all children. Their work continues after the next start."""
        for child in self._children:
            child.kill()

    async def _start(self, child: Child) -> None:
        await child.start()
        try:
            self._record()
        except OSError as error:
            if self._recording is None or self._recording.done():
                self._terminal.note(f"{self._data.record.path} cannot be written: {why(error)}. It is tried again.")
                self._recording = asyncio.create_task(self._record_later())

    def _record(self) -> None:
        running = [each.recorded for each in reversed(self._children) if each.running and each.recorded]
        self._data.record.write(self._url, running)

    async def _record_later(self) -> None:
        while True:
            await asyncio.sleep(RECORD_AGAIN)
            with suppress(OSError):
                self._record()
                return

    async def _watch(self, child: Child) -> None:
        pause = 1
        while True:
            started = time.monotonic()
            end = await child.wait()
            child.kill()  # the rest of its process group would be in the way of the new process
            if not self._startup_done:
                if not self._failure.done():
                    self._failure.set_result(f"{child.spec.name} {end}. {child.last_output()}")
                return
            if time.monotonic() - started > STABLE:
                pause = 1
            self._terminal.note(f"{child.spec.name} {end}; starting it again in {pause} s (log: {child.log})")
            while True:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                try:
                    await self._start(child)
                    break
                except OSError as error:  # no room for its files, or no processes left
                    self._terminal.note(f"{child.spec.name} cannot be started: {why(error)}; again in {pause} s")
