"""How many requests a minute a key may send, counted in Redis, so that all API processes count together.

The window slides (by the approximation with two counters), so that the end of one minute and the beginning of the next
do not let through twice as many. What is counted may be lost: while Redis is away every request is let through, which
is better than to serve nobody.
"""

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from uuid import UUID

import redis
import redis.asyncio
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

WINDOW = 60  # s
PATIENCE = 0.5  # s that a request waits for Redis at most
PAUSE = 5.0  # s for which nobody is counted after Redis was away: else every request would wait for it

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """Where a key stands after a request.

    Attributes:
        allowed: whether the request may go on.
        quota: requests a minute.
        left: how many more may come now.
        seconds: after how many the next one becomes free.
    """

    allowed: bool
    quota: int
    left: int
    seconds: int

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 has them."""
        return {
            "RateLimit-Policy": f'"requests";q={self.quota};w={WINDOW}',
            "RateLimit": f'"requests";r={self.left};t={self.seconds}',
        }


class Rates:
    """Counts the requests of every key."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        storage = RedisStorage(
            "async+redis://",  # the pool knows where
            implementation="redispy",
            key_prefix="underpaint:rate",
            connection_pool=client.connection_pool,  # pyright: ignore[reportArgumentType] (as its documentation says)
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._again_at = float("-inf")

    async def count(self, key: UUID, quota: int) -> Standing | None:
        """Count one request of a key that may send ``quota`` a minute. None: Redis is away, and nobody is counted."""
        if time.monotonic() < self._again_at:
            return None
        limit, name = RateLimitItemPerMinute(quota), str(key)
        try:
            async with asyncio.timeout(PATIENCE):
                allowed = await self._limiter.hit(limit, name)
                free_at, left = await self._limiter.get_window_stats(limit, name)
        except (redis.RedisError, OSError) as error:  # a TimeoutError is an OSError
            self._again_at = time.monotonic() + PAUSE
            log.warning("requests are not counted while Redis is away: %r", error)
            return None
        seconds = max(1, math.ceil(free_at - time.time()))
        return Standing(allowed, quota, left if allowed else 0, seconds)
