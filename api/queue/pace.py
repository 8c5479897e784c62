"""The estimate of how long a job will wait, from what the workers have done of late."""

import contextlib
import logging
import math
from time import monotonic
from typing import Any, NamedTuple

import anyio
import redis
import redis.asyncio
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from store import pace, workers

FRESH = 2.0  # s; what was measured serves all requests of this process for so long
PATIENCE = 0.3  # s, to hear from Redis who is there: no answer waits longer for an estimate
UNKNOWN_RETRY = 10  # s, after which to look again at a full queue whose pace nobody knows

log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """How fast the queue moves.

    Attributes:
        free: jobs that the workers could take at once.
        seconds: from the end of one job to that of the next; None where none has succeeded of late.
        alive: whether any worker is known to be there.
        max_running: jobs that a key without a number of its own may have running; None: no limit.
    """

    free: int
    seconds: float | None
    alive: bool
    max_running: int | None

    def wait(self, position: int) -> float | None:
        """Seconds until the job at this position of the queue is claimed; None where nothing is known."""
        if not self.alive:
            return None
        ahead = max(0, position - self.free)
        if ahead == 0:
            return 0.0
        return None if self.seconds is None else round(ahead * self.seconds, 1)

    @property
    def retry_after(self) -> int:
        """Whole seconds until a full queue will have room for one more: until the next job is claimed."""
        return UNKNOWN_RETRY if self.seconds is None or not self.alive else max(1, math.ceil(self.seconds))


class Pacer:
    """Measures the pace, not for every request anew."""

    def __init__(self, client: redis.asyncio.Redis, max_running: int | None) -> None:
        self._redis = client
        self._measured = Pace(free=0, seconds=None, alive=False, max_running=max_running)
        self._until = -math.inf

    async def now(self, session: AsyncSession) -> Pace:
        """The pace, at most ``FRESH`` seconds old."""
        if monotonic() >= self._until:
            self._until = monotonic() + FRESH  # others who ask meanwhile get what was measured before
            jobs, seconds, running = (await session.execute(pace.pace())).one()
            there = await self._there()
            slots = sum(worker.get("concurrency", 0) for worker in there)
            self._measured = self._measured._replace(
                free=max(0, slots - running), seconds=seconds / jobs if seconds else None, alive=bool(there)
            )
        return self._measured

    async def lately(self, sessions: async_sessionmaker[AsyncSession]) -> Pace:
        """The pace; what was measured before, where the database cannot tell: that is no reason to refuse a job that is
        saved."""
        try:
            async with sessions.begin() as session:
                return await self.now(session)
        except (SQLAlchemyError, OSError) as error:
            log.warning("nobody knows how fast the queue moves: %s", error)
            return self._measured

    async def _there(self) -> list[dict[str, Any]]:
        """The workers that are there; none where nobody can tell."""
        with anyio.move_on_after(PATIENCE), contextlib.suppress(redis.RedisError, OSError):
            return list((await workers.alive_async(self._redis)).values())
        return []
