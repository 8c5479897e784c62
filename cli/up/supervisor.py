"""Keeps the children of `up` running, and stops them in order."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from cli.errors import Explained
from cli.up.child import Child, Plan
from cli.up.datadir import DataDir
from cli.up.terminal import Terminal

T = TypeVar("T")

LONGEST_PAUSE = 30  # seconds before a child that keeps ending is started again
STEADY = 60  # a child that ran this long, in seconds, has shown that it can


class Supervisor:
    """Starts children in the order in which they need each other; stops them in the opposite one.

    Until `settled`, a child that ends is a failed start. After that it is started again, each time after a longer
    pause.
    """

    def __init__(self, data: DataDir, url: str, terminal: Terminal) -> None:
        self._data = data
        self._url = url
        self._terminal = terminal
        self._children: list[Child] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._settled = False
        self.stopping = False

    async def start(self, plan: Plan) -> None:
        """Starts a child and watches it from now on."""
        child = Child(plan, self._data.logs / f"{plan.name}.log", self._terminal.log)
        self._children.append(child)
        await self._start(child)
        self._watchers.append(asyncio.create_task(self._watch(child)))

    async def unless_one_ends(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, if no child ends before it is there.

        Raises:
            Explained: a child ended; tells which, and its last lines.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Explained(self._failure.result())
            return task.result()
        finally:
            task.cancel()

    def settled(self) -> None:
        """From now on a child that ends is started again."""
        self._settled = True

    async def stop(self) -> None:
        """Stops all children, the newest first."""
        self.stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        for child in reversed(self._children):
            if child.running:
                self._terminal.note(f"Stopping {child.plan.name}")
                if not await child.stop():
                    self._terminal.note(
                        f"{child.plan.name} did not stop within {child.plan.patience:g} s and was killed"
                    )
        self._data.record.write(self._url, [])

    def kill(self) -> None:
        """Ends all children at once. What they were doing is picked up at the next start."""
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
            child.kill()  # what is left of its process group would get in the way of its successor
            if not self._settled:
                if not self._failure.done():
                    self._failure.set_result(f"{child.plan.name} {end}. {child.last_words()}")
                return
            if time.monotonic() - started > STEADY:
                pause = 1
            self._terminal.note(f"{child.plan.name} {end}; starting it again in {pause} s (log: {child.log})")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            await self._start(child)
