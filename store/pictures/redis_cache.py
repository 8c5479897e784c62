"""The newest pictures of running jobs, cached in Redis for the clients that poll for them.

The store of pictures has all of them. A picture that is missing here, or a Redis that is away, is a cache miss. The
pictures of a job are the fields of one hash, so that they expire and are dropped together.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

import logging
from typing import cast
from uuid import UUID

import redis
import redis.asyncio

from store.outages import REDIS_AWAY
from store.redis_kinds import drop_wrong, is_wrong_kind

log = logging.getLogger(__name__)


def put(client: redis.Redis, job: UUID, image: int, iterate: int, png: bytes, seconds: int) -> None:
    """Cache a picture for ``seconds`` (whole) from now, and the older ones of its job for as long."""
    key = _key(job)
    try:
        try:
            _put(client, key, _field(image, iterate), png, seconds)
        except redis.ResponseError as error:
            if not is_wrong_kind(error):
                raise
            drop_wrong(client, {key: "hash"})
            _put(client, key, _field(image, iterate), png, seconds)
    except REDIS_AWAY as error:
        log.warning("preview of job %s not cached: %s", job, error)


def _put(client: redis.Redis, key: str, field: str, png: bytes, seconds: int) -> None:
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(key, field, png)
        pipe.expire(key, seconds)
        pipe.execute()


async def get(client: redis.asyncio.Redis, job: UUID, image: int, iterate: int) -> bytes | None:
    """A picture (PNG); None if it is not cached."""
    try:
        return cast(bytes | None, await client.hget(_key(job), _field(image, iterate)))
    except REDIS_AWAY as error:
        if is_wrong_kind(error):
            await drop_async(client, job)
            return None
        log.warning("preview of job %s not looked up in the cache: %s", job, error)
        return None


def drop(client: redis.Redis, job: UUID) -> None:
    """Remove the pictures of a deleted job. If Redis is away, they expire by themselves."""
    try:
        client.delete(_key(job))
    except REDIS_AWAY as error:
        log.warning("previews of job %s not dropped from the cache: %s", job, error)


async def drop_async(client: redis.asyncio.Redis, job: UUID) -> None:
    """``drop`` for asyncio."""
    try:
        await client.delete(_key(job))
    except REDIS_AWAY as error:
        log.warning("previews of job %s not dropped from the cache: %s", job, error)


def _key(job: UUID) -> str:
    return f"underpaint:preview:{job}"


def _field(image: int, iterate: int) -> str:
    return f"{image}:{iterate}"
