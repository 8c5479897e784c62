"""Starts the children of `up`, restarts them, stops them in order, and prints their output."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from rich.console import Console
from rich.text import Text

from cli.errors import CommandError
from cli.up.child import Child, ProcessSpec
from cli.up.datadir import DataDir

T = TypeVar("T")

LONGEST_PAUSE = 30  # s before a child that keeps ending is started again
STABLE = 60  # s; the pause starts at 1 s again for a child that ran for longer
COLOURS = {"api": "cyan", "worker": "magenta", "beat": "yellow", "postgres": "blue", "valkey": "red"}


class Terminal:
    """Prints the lines of the children with their names in front, and those of `up` itself in bold."""

    def __init__(self) -> None:
        # A narrow terminal wraps lines by itself; a file or pipe must get them whole.
        self._console = Console(soft_wrap=True, highlight=False, emoji=False, markup=False)

    def log(self, name: str, line: str) -> None:
        """A line that a child wrote."""
        self._print(name, COLOURS.get(name, ""), Text(line))

    def note(self, text: str) -> None:
        """One or more lines of `up` itself."""
        for line in text.splitlines():
            self._print("up", "bold", Text(line, style="bold"))

    def show(self, text: str) -> None:
        """A text without a name in front, to copy from."""
        self._console.print(text)

    def _print(self, name: str, style: str, line: Text) -> None:
        self._console.print(Text.assemble((f"{name:>8} | ", style), line))


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
        self._failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._startup_done = False
        self.stopping = False

    async def start(self, spec: ProcessSpec) -> None:
        """Starts and watches a child."""
        child = Child(spec, self._data.logs / f"{spec.name}.log", self._terminal.log)
        self._children.append(child)
        await self._start(child)
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
        """Stops all children, the newest first."""
        self.stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        for child in reversed(self._children):
            if child.running:
                self._terminal.note(f"Stopping {child.spec.name}")
                if not await child.stop():
                    self._terminal.note(
                        f"{child.spec.name} did not stop within {child.spec.patience:g} s and was killed"
                    )
        self._data.record.write(self._url, [])

    def kill(self) -> None:
        """Kills all children. Their work continues after the next start."""
        for child in self._children:
            child.kill()

    async def _start(self, child: Child) -> None:
        await child.start()
        running = [each.recorded for each in reversed(self._children) if each.running and each.recorded]
        self._data.record.write(self._url, running)

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
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            await self._start(child)
