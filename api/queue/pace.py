"""The estimate of how long a job will wait, from what the workers have done in the last hour."""

import contextlib
import logging
import math
from time import monotonic
from typing import Any, NamedTuple

import anyio
import redis.asyncio
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from store import pace, workers
from store.outages import REDIS_AWAY

FRESH_SECONDS = 2.0  # for which all requests of this process share a measurement
REDIS_TIMEOUT = 0.3  # s: no response waits longer than this for an estimate
UNKNOWN_RETRY = 10  # s, after which to try a full queue again if its pace is unknown

log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """How fast the queue moves.

    Attributes:
        free: jobs that the workers could take at once.
        seconds: from the end of one job to that of the next; None if none succeeded within the hour.
        alive: whether at least one worker announces itself.
        max_running: jobs that a key without a number of its own may have running; None: no limit.
    """

    free: int
    seconds: float | None
    alive: bool
    max_running: int | None

    def wait(self, position: int) -> float | None:
        """Seconds until the job at this position of the queue is claimed; None if nothing is known."""
        if not self.alive:
            return None
        ahead = max(0, position - self.free)
        if ahead == 0:
            return 0.0
        return None if self.seconds is None else round(ahead * self.seconds, 1)

    @property
    def retry_after(self) -> int:
        """Whole seconds until a full queue has room for one more: until the next job is claimed."""
        return UNKNOWN_RETRY if self.seconds is None or not self.alive else max(1, math.ceil(self.seconds))


class Pacer:
    """Measures the pace, at most once in ``FRESH_SECONDS``."""

    def __init__(self, client: redis.asyncio.Redis, max_running: int | None) -> None:
        self._redis = client
        self._measured = Pace(free=0, seconds=None, alive=False, max_running=max_running)
        self._until = -math.inf

    async def now(self, session: AsyncSession) -> Pace:
        """The pace, at most ``FRESH_SECONDS`` old."""
        if monotonic() >= self._until:
            self._until = monotonic() + FRESH_SECONDS  # requests meanwhile get the measurement before
            jobs, seconds, running = (await session.execute(pace.pace())).one()
            alive = await self._alive()
            slots = sum(worker.get("concurrency", 0) for worker in alive)
            self._measured = self._measured._replace(
                free=max(0, slots - running), seconds=seconds / jobs if seconds else None, alive=bool(alive)
            )
        return self._measured

    async def latest(self, sessions: async_sessionmaker[AsyncSession]) -> Pace:
        """The pace; the measurement before if the database does not answer: a saved job must not be refused for
        that."""
        try:
            async with sessions.begin() as session:
                return await self.now(session)
        except (SQLAlchemyError, OSError) as error:
            log.warning("the pace of the queue is unknown: %s", error)
            return self._measured

    async def _alive(self) -> list[dict[str, Any]]:
        """The workers that announce themselves; none if Redis does not answer."""
        with anyio.move_on_after(REDIS_TIMEOUT), contextlib.suppress(*REDIS_AWAY):
            return list((await workers.alive_async(self._redis)).values())
        return []
