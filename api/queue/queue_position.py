"""The positions in the queue of jobs that were queued just now.

One position takes a query that puts all queued jobs in order. So those who ask during a query share the next one, and a
burst of submissions takes few. A query finds every job that was asked for before it began.
"""

import asyncio
import logging
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from store import reads

log = logging.getLogger(__name__)


class QueuePositions:
    """Looks up the positions of all jobs that are asked for together."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], max_running: int | None) -> None:
        """
        Args:
            max_running: of a key without a number of its own, see ``store.order.first``.
        """
        self._sessions = sessions
        self._max_running = max_running
        self._turn = asyncio.Lock()
        self._asked: list[UUID] = []
        self._next: asyncio.Task[dict[UUID, int]] | None = None

    async def of(self, job: UUID) -> int | None:
        """The position of a job that was queued just now. It is 1 if the job was claimed meanwhile: it was the next one
        then. None if the database does not answer: the job is saved, and must not be refused for that."""
        self._asked.append(job)
        if self._next is None:
            self._next = asyncio.create_task(self._query())
        try:
            return (await asyncio.shield(self._next)).get(job, 1)
        except (SQLAlchemyError, OSError) as error:
            log.warning("the queue position of job %s is unknown: %s", job, error)
            return None

    async def _query(self) -> dict[UUID, int]:
        async with self._turn:
            asked, self._asked, self._next = self._asked, [], None
            async with self._sessions.begin() as session:
                positions = reads.queue_positions(asked, self._max_running)
                return dict((await session.execute(positions)).all())
