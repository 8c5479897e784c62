"""How many requests a minute a key may send. Redis counts, so that all API processes count together.

The window slides (approximated by two counters): the end of one minute and the beginning of the next together allow no
more. While Redis is away all requests are allowed, which is better than to serve nobody.
"""

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from uuid import UUID

import redis.asyncio
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from store.outages import REDIS_AWAY

WINDOW = 60  # s
TIMEOUT = 0.5  # s that a request waits for Redis
PAUSE = 5.0  # s without counting after Redis was away: otherwise every request would wait for it

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """The rate limit of a key after a request.

    Attributes:
        allowed: whether the request is within the limit.
        quota: requests a minute.
        left: further requests that are allowed now.
        seconds: until the next one is allowed.
    """

    allowed: bool
    quota: int
    left: int
    seconds: int

    def headers(self) -> dict[str, str]:
        """The headers of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"requests";q={self.quota};w={WINDOW}',
            "RateLimit": f'"requests";r={self.left};t={self.seconds}',
        }


class Rates:
    """Counts the requests of every key."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        storage = RedisStorage(
            "async+redis://",  # the connection pool has the address
            implementation="redispy",
            key_prefix="underpaint:rate",
            connection_pool=client.connection_pool,  # pyright: ignore[reportArgumentType] (as its documentation says)
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._again_at = float("-inf")

    async def count(self, key: UUID, quota: int) -> Standing | None:
        """Count one request of a key that may send ``quota`` a minute. None if Redis is away: nothing is counted."""
        if time.monotonic() < self._again_at:
            return None
        limit, name = RateLimitItemPerMinute(quota), str(key)
        try:
            async with asyncio.timeout(TIMEOUT):
                allowed = await self._limiter.hit(limit, name)
                free_at, left = await self._limiter.get_window_stats(limit, name)
        except REDIS_AWAY as error:
            self._again_at = time.monotonic() + PAUSE
            log.warning("requests are not counted while Redis is away: %r", error)
            return None
        seconds = max(1, math.ceil(free_at - time.time()))
        return Standing(allowed, quota, left if allowed else 0, seconds)
