"""Calling workers for jobs that were queued, behind the requests that queued them.

A job that is saved is a promise, and its client need not wait for the broker as well. What is lost between the answer
and the call, because the broker is away or this process dies, is called for by the janitor.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import anyio
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from store import moves
from tasks.queue import QueueUnavailable, enqueue

TOGETHER = 50  # jobs that are called for, or noted as sent, at once
REST = 0.1  # s without another job, after which what was sent is noted: the workers that were called go first
HEAD_START = 0.02  # s that a request at most leaves to the call of its worker, before it goes on with its answer
PATIENCE = 2.0  # s that the end of this process waits for what is not sent yet

log = logging.getLogger(__name__)


class Outbox:
    """Calls a worker for each job, one after another, and notes it for all that were called for together."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions
        self._waiting: list[UUID] = []
        self._called: list[UUID] = []
        self._turn = asyncio.Event()
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def send(self, job: UUID) -> None:
        """Have a worker called for a job that is saved. Never fails: what is not sent is sent by the janitor. Returns
        once the call is out, or soon if that takes longer: whatever the caller does now would only delay it."""
        self._waiting.append(job)
        self._some.set()
        self._idle.clear()
        with anyio.move_on_after(HEAD_START):
            await self._turn.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send while the context lasts, and at its end what is left."""
        sending = asyncio.create_task(self._run())
        try:
            yield
        finally:
            with anyio.move_on_after(PATIENCE, shield=True):
                await self._idle.wait()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if self._waiting:
                log.warning("%d jobs are left to the janitor", len(self._waiting))

    async def _run(self) -> None:
        while True:
            with anyio.move_on_after(REST if self._called else math.inf):
                await self._some.wait()
            if self._waiting and len(self._called) < TOGETHER:
                await self._call()
            else:
                await self._note()
            if not self._waiting:
                self._some.clear()
                if not self._called:
                    self._idle.set()

    async def _call(self) -> None:
        jobs, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
        turn, self._turn = self._turn, asyncio.Event()
        called = 0
        try:
            called = await anyio.to_thread.run_sync(_call, len(jobs), abandon_on_cancel=True)
        except Exception:
            log.exception("workers cannot be called")
        turn.set()
        self._called += jobs[:called]
        if left := jobs[called:]:
            log.warning("jobs stay unsent for now: %s", _listed(left))

    async def _note(self) -> None:
        jobs, self._called = self._called, []
        try:
            async with self._sessions.begin() as session:
                await session.execute(moves.mark_sent(jobs))
        except Exception as error:
            log.warning("jobs were sent, but not marked so: %s: %s: %s", _listed(jobs), type(error).__name__, error)


def _call(number: int) -> int:
    """Call so many workers, until the broker refuses. Returns how many it took."""
    for called in range(number):
        try:
            enqueue()
        except QueueUnavailable as error:
            log.warning("%s", error)
            return called
    return number


def _listed(jobs: list[UUID]) -> str:
    return ", ".join(map(str, jobs))
