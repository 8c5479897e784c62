"""The outbox: calls a worker for each job that was queued, after the request that queued it.

A saved job is a promise, so that its client need not wait for the broker. If the broker is away or this process dies
before the call, the janitor makes it.
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

BATCH = 50  # jobs of one batch of calls, or of one note in the database
IDLE_SECONDS = 0.1  # without another job, before sent jobs are noted: called workers need the database first
HEAD_START = 0.02  # s that `send` waits for the call at most
CLOSING_SECONDS = 2.0  # that the end of this process waits for unsent jobs

log = logging.getLogger(__name__)


class Outbox:
    """Calls workers in the order of the jobs, and notes in the database which jobs were sent, many at once."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions
        self._unsent: list[UUID] = []
        self._sent: list[UUID] = []
        self._batch_done = asyncio.Event()
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def send(self, job: UUID) -> None:
        """Have a worker called for a saved job. Returns when the broker has taken or refused the call, or after
        ``HEAD_START`` seconds: the call goes on then. Never fails."""
        self._unsent.append(job)
        self._some.set()
        self._idle.clear()
        # Without this pause the request would take the event loop and the database from the call, and delay the job.
        with anyio.move_on_after(HEAD_START):
            await self._batch_done.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send while the context lasts, and at its end what is left."""
        sending = asyncio.create_task(self._run())
        try:
            yield
        finally:
            with anyio.move_on_after(CLOSING_SECONDS, shield=True):
                await self._idle.wait()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if self._unsent:
                log.warning("%d jobs are left to the janitor", len(self._unsent))

    async def _run(self) -> None:
        while True:
            with anyio.move_on_after(IDLE_SECONDS if self._sent else math.inf):
                await self._some.wait()
            if self._unsent and len(self._sent) < BATCH:
                await self._call()
            else:
                await self._note()
            if not self._unsent:
                self._some.clear()
                if not self._sent:
                    self._idle.set()

    async def _call(self) -> None:
        jobs, self._unsent = self._unsent[:BATCH], self._unsent[BATCH:]
        batch_done, self._batch_done = self._batch_done, asyncio.Event()
        called = 0
        try:
            called = await anyio.to_thread.run_sync(_call, len(jobs), abandon_on_cancel=True)
        except Exception:
            log.exception("workers cannot be called")
        batch_done.set()
        self._sent += jobs[:called]
        if left := jobs[called:]:
            log.warning("jobs stay unsent for now: %s", _listed(left))

    async def _note(self) -> None:
        jobs, self._sent = self._sent, []
        try:
            async with self._sessions.begin() as session:
                await session.execute(moves.mark_sent(jobs))
        except Exception as error:
            log.warning("jobs were sent, but not marked so: %s: %s: %s", _listed(jobs), type(error).__name__, error)


def _call(number: int) -> int:
    """Call this many workers, until the broker refuses. Returns how many calls it took."""
    for called in range(number):
        try:
            enqueue()
        except QueueUnavailable as error:
            log.warning("%s", error)
            return called
    return number


def _listed(jobs: list[UUID]) -> str:
    return ", ".join(map(str, jobs))
