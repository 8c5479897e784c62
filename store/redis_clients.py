"""Clients of Redis or Valkey, blocking and asyncio, that notice an outage within seconds."""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUTS: dict[str, Any] = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
# By default redis-py retries for many seconds. One immediate retry suffices for a connection that a restart has cut.
RETRIES = 1


def sync_redis(url: str) -> redis.Redis:
    """A client for threads; replies are bytes. Its pool connects when first used."""
    return redis.Redis.from_url(url, **TIMEOUTS, retry=Retry(NoBackoff(), RETRIES))


def async_redis(url: str) -> redis.asyncio.Redis:
    """A client for asyncio; replies are bytes. Its pool connects when first used."""
    return redis.asyncio.Redis.from_url(url, **TIMEOUTS, retry=redis.asyncio.retry.Retry(NoBackoff(), RETRIES))
