"""Messages over Redis that make other processes read PostgreSQL again.

They carry no state, so a lost message only costs time. Publishing never raises; an outage of Redis is logged.

A message on ``JOBS`` means that a job has a new event, one on ``CONTROL`` that a job's flags (cancel, accept) changed.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

import json
import logging
from typing import NamedTuple
from uuid import UUID

import redis
import redis.asyncio

from store.outages import REDIS_AWAY

JOBS = "underpaint:jobs"
CONTROL = "underpaint:control"

log = logging.getLogger(__name__)


class Wakeup(NamedTuple):
    """Job ``job`` has the event number ``seq``."""

    job: UUID
    seq: int


def publish(client: redis.Redis, job: UUID, seq: int) -> None:
    """Announce a new event of a job on ``JOBS``, after its commit."""
    _publish(client, JOBS, encode(Wakeup(job, seq)))


async def publish_async(client: redis.asyncio.Redis, job: UUID, seq: int) -> None:
    """``publish`` for asyncio."""
    await _publish_async(client, JOBS, encode(Wakeup(job, seq)))


def control(client: redis.Redis, job: UUID) -> None:
    """Announce on ``CONTROL`` that a job's flags changed, after the commit."""
    _publish(client, CONTROL, str(job))


async def control_async(client: redis.asyncio.Redis, job: UUID) -> None:
    """``control`` for asyncio."""
    await _publish_async(client, CONTROL, str(job))


def encode(wakeup: Wakeup) -> str:
    """A message of ``JOBS``: JSON with ``job`` and ``seq``."""
    return json.dumps({"job": str(wakeup.job), "seq": wakeup.seq})


def decode(message: bytes) -> Wakeup:
    """Read a message of ``JOBS``. Raises ValueError if it is not one."""
    try:
        fields = json.loads(message)
        return Wakeup(UUID(fields["job"]), int(fields["seq"]))
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"not a message of {JOBS}: {message[:100]!r}") from error


def decode_control(message: bytes) -> UUID:
    """Read a message of ``CONTROL``. Raises ValueError if it is not one."""
    return UUID(message.decode())


def _publish(client: redis.Redis, channel: str, message: str) -> None:
    try:
        client.publish(channel, message)
    except REDIS_AWAY as error:
        log.warning("no message on %s: %s", channel, error)


async def _publish_async(client: redis.asyncio.Redis, channel: str, message: str) -> None:
    try:
        await client.publish(channel, message)
    except REDIS_AWAY as error:
        log.warning("no message on %s: %s", channel, error)
