"""Which workers are there, in Redis: each announces itself again and again, and is gone when it stops doing so.

Here a Redis that is gone raises ``redis.RedisError`` (or OSError): nobody can tell then who is there.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

import json
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio

NAMES = "underpaint:workers"


def announce(client: redis.Redis, worker: str, info: dict[str, Any], seconds: float) -> None:
    """Be there for ``seconds`` more. ``info`` (JSON values) is shown to whoever asks."""
    with client.pipeline(transaction=True) as pipe:
        pipe.sadd(NAMES, worker)
        pipe.set(_key(worker), json.dumps(info), px=int(seconds * 1000))
        pipe.execute()


def withdraw(client: redis.Redis, worker: str) -> None:
    """Be gone at once."""
    with client.pipeline(transaction=True) as pipe:
        pipe.srem(NAMES, worker)
        pipe.delete(_key(worker))
        pipe.execute()


def alive(client: redis.Redis) -> dict[str, dict[str, Any]]:
    """The workers that are there and what they said of themselves, by name."""
    names = _sorted(client.smembers(NAMES))
    there, gone = _split(names, client.mget([_key(name) for name in names]) if names else [])
    if gone:
        client.srem(NAMES, *gone)
    return there


async def alive_async(client: redis.asyncio.Redis) -> dict[str, dict[str, Any]]:
    """``alive`` for asyncio."""
    names = _sorted(await client.smembers(NAMES))
    there, gone = _split(names, await client.mget([_key(name) for name in names]) if names else [])
    if gone:
        await client.srem(NAMES, *gone)
    return there


def _key(worker: str) -> str:
    return f"underpaint:worker:{worker}"


def _sorted(members: set[bytes | str]) -> list[str]:
    return sorted(member.decode() if isinstance(member, bytes) else member for member in members)


def _split(names: list[str], values: Sequence[bytes | str | None]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Those that are there, and the names of those whose time ran out."""
    pairs = list(zip(names, values, strict=True))
    there = {name: json.loads(value) for name, value in pairs if value is not None}
    return there, [name for name, value in pairs if value is None]
