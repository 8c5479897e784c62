"""The places in the queue of jobs that were queued just now.

To know one place all queued jobs are put in order. So those who ask while such a look goes on share the next one, and a
burst of submissions costs few. What was asked for before a look begins is in what it finds.
"""

import asyncio
import logging
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from store import reads

log = logging.getLogger(__name__)


class QueuePositions:
    """Looks up places, for as many jobs at once as are asked for."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], max_running: int | None) -> None:
        """``max_running``: see ``order.first``."""
        self._sessions = sessions
        self._max_running = max_running
        self._turn = asyncio.Lock()
        self._asked: list[UUID] = []
        self._next: asyncio.Task[dict[UUID, int]] | None = None

    async def of(self, job: UUID) -> int | None:
        """The place of a job that was queued just now: 1 where it was claimed meanwhile, as it was the next one then.
        None where the database cannot tell: that is no reason to refuse a job that is saved."""
        self._asked.append(job)
        if self._next is None:
            self._next = asyncio.create_task(self._look())
        try:
            return (await asyncio.shield(self._next)).get(job, 1)
        except (SQLAlchemyError, OSError) as error:
            log.warning("nobody knows the place of job %s: %s", job, error)
            return None

    async def _look(self) -> dict[UUID, int]:
        async with self._turn:
            asked, self._asked, self._next = self._asked, [], None
            async with self._sessions.begin() as session:
                places = reads.queue_positions(asked, self._max_running)
                return dict((await session.execute(places)).all())
