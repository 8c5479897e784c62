"""Keys of Redis that hold a value of another kind than ours. What lies in Redis is input: it is dropped, and said once.

Nothing is lost with it: PostgreSQL has the jobs, and workers announce themselves again.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import ResponseError

log = logging.getLogger(__name__)


def is_wrong_kind(error: Exception) -> bool:
    """Whether an error of a command means that a key holds a value of another kind."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def drop_wrong(client: redis.Redis, kinds: Mapping[str, str]) -> None:
    """Delete those of the keys that hold a value of another kind than ``kinds`` says, such as ``set``."""
    if wrong := _wrong(kinds, [client.type(key) for key in kinds]):
        client.delete(*wrong)


async def drop_wrong_async(client: redis.asyncio.Redis, kinds: Mapping[str, str]) -> None:
    """``drop_wrong`` for asyncio."""
    if wrong := _wrong(kinds, [await client.type(key) for key in kinds]):
        await client.delete(*wrong)


def _wrong(kinds: Mapping[str, str], found: Iterable[Any]) -> list[str]:
    wrong: list[str] = []
    for (key, kind), there in zip(kinds.items(), found, strict=True):
        name = there.decode() if isinstance(there, bytes) else str(there)
        if name not in {kind, "none"}:
            log.warning("the key %s of Redis held a %s, not a %s: dropped", key, name, kind)
            wrong.append(key)
    return wrong
