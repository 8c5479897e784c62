"""The jobs that clients of A1111's API wait for, oldest first, by owner.

That API has no ids: a client asks for the progress of "the" job, and interrupts it. Each request that waits for its job
is noted here for all API processes. It is kept in Redis, since it may be lost: then there is no progress to show.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

import logging
import time
from collections.abc import Awaitable
from typing import Any, cast
from uuid import UUID

import redis
import redis.asyncio

from store.outages import REDIS_AWAY
from store.redis_kinds import drop_wrong_async, is_wrong_kind

KEPT_SECONDS = 86400  # after the newest request of an owner
NOBODY = "nobody"

log = logging.getLogger(__name__)


async def add(client: redis.asyncio.Redis, owner: UUID | None, job: UUID) -> None:
    """A client waits for this job from now on."""
    key = _key(owner)
    try:
        try:
            await _add(client, key, job)
        except redis.ResponseError as error:
            if not is_wrong_kind(error):
                raise
            await drop_wrong_async(client, {key: "zset"})
            await _add(client, key, job)
    except REDIS_AWAY as error:
        log.warning("the progress of job %s will not be shown: %s", job, error)


async def remove(client: redis.asyncio.Redis, owner: UUID | None, *jobs: UUID) -> None:
    """No client waits for these jobs any more."""
    if not jobs:
        return
    try:
        await cast(Awaitable[Any], client.zrem(_key(owner), *map(str, jobs)))
    except REDIS_AWAY as error:
        log.warning("jobs are still taken for waited for: %s", error)


async def jobs(client: redis.asyncio.Redis, owner: UUID | None) -> list[UUID]:
    """The jobs that clients of this owner wait for, oldest first. Some may have ended."""
    try:
        found = cast(list[bytes], await cast(Awaitable[Any], client.zrange(_key(owner), 0, -1)))
    except REDIS_AWAY as error:
        log.warning("no progress is shown: %s", error)
        return []
    return [job for job in map(_job, found) if job]


async def _add(client: redis.asyncio.Redis, key: str, job: UUID) -> None:
    async with client.pipeline(transaction=True) as pipe:
        pipe.zadd(key, {str(job): time.time()})
        pipe.expire(key, KEPT_SECONDS)
        await pipe.execute()


def _key(owner: UUID | None) -> str:
    return f"underpaint:held:{owner or NOBODY}"


def _job(member: bytes) -> UUID | None:
    try:
        return UUID(member.decode())
    except ValueError:
        return None
