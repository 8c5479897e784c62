"""The pictures of running jobs, kept hot in Redis for whoever polls them.

PostgreSQL has them all: a missing one is a miss and a Redis that is gone is nothing but misses. The pictures of a job
are one hash, so that they expire and are dropped together.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

import logging
from typing import cast
from uuid import UUID

import redis
import redis.asyncio

log = logging.getLogger(__name__)


def put(client: redis.Redis, job: UUID, image: int, iterate: int, png: bytes, seconds: int) -> None:
    """Keep a picture for ``seconds`` (whole) from now, and those before it that long as well."""
    key = _key(job)
    try:
        with client.pipeline(transaction=True) as pipe:
            pipe.hset(key, _field(image, iterate), png)
            pipe.expire(key, seconds)
            pipe.execute()
    except (redis.RedisError, OSError) as error:
        log.warning("preview of job %s not kept hot: %s", job, error)


async def get(client: redis.asyncio.Redis, job: UUID, image: int, iterate: int) -> bytes | None:
    """A picture (PNG), or None where it is not hot."""
    try:
        return cast(bytes | None, await client.hget(_key(job), _field(image, iterate)))
    except (redis.RedisError, OSError) as error:
        log.warning("preview of job %s not looked up: %s", job, error)
        return None


def drop(client: redis.Redis, job: UUID) -> None:
    """Forget the pictures of a deleted job. Where Redis is gone they expire by themselves."""
    try:
        client.delete(_key(job))
    except (redis.RedisError, OSError) as error:
        log.warning("previews of job %s not dropped: %s", job, error)


async def drop_async(client: redis.asyncio.Redis, job: UUID) -> None:
    """``drop`` for asyncio."""
    try:
        await client.delete(_key(job))
    except (redis.RedisError, OSError) as error:
        log.warning("previews of job %s not dropped: %s", job, error)


def _key(job: UUID) -> str:
    return f"underpaint:preview:{job}"


def _field(image: int, iterate: int) -> str:
    return f"{image}:{iterate}"
