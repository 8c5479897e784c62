"""Clients of Redis or Valkey, blocking and asyncio, that find out within a second that it is gone."""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

import redis
import redis.asyncio

TIMEOUT_SECONDS = 1.0


def sync_redis(url: str) -> redis.Redis:
    """A client for threads; replies are bytes. Its pool connects when first used."""
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)


def async_redis(url: str) -> redis.asyncio.Redis:
    """A client for asyncio; replies are bytes. Its pool connects when first used."""
    return redis.asyncio.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)
