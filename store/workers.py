"""Which workers and beats are there, in Redis: each announces itself again and again, and is gone when it stops that.

Here a Redis that is gone raises ``redis.RedisError`` (or OSError): nobody can tell then who is there.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

import json
from collections.abc import Sequence
from typing import Any, Literal

import redis
import redis.asyncio

Part = Literal["worker", "beat"]


def announce(client: redis.Redis, name: str, info: dict[str, Any], seconds: float, part: Part = "worker") -> None:
    """Be there for ``seconds`` more. ``info`` (JSON values) is shown to whoever asks."""
    with client.pipeline(transaction=True) as pipe:
        pipe.sadd(names_of(part), name)
        pipe.set(_key(part, name), json.dumps(info), px=int(seconds * 1000))
        pipe.execute()


def withdraw(client: redis.Redis, name: str, part: Part = "worker") -> None:
    """Be gone at once."""
    with client.pipeline(transaction=True) as pipe:
        pipe.srem(names_of(part), name)
        pipe.delete(_key(part, name))
        pipe.execute()


def alive(client: redis.Redis, part: Part = "worker") -> dict[str, dict[str, Any]]:
    """Those that are there and what they said of themselves, by name."""
    names = _sorted(client.smembers(names_of(part)))
    there, gone = _split(names, client.mget([_key(part, name) for name in names]) if names else [])
    if gone:
        client.srem(names_of(part), *gone)
    return there


async def alive_async(client: redis.asyncio.Redis, part: Part = "worker") -> dict[str, dict[str, Any]]:
    """``alive`` for asyncio."""
    names = _sorted(await client.smembers(names_of(part)))
    there, gone = _split(names, await client.mget([_key(part, name) for name in names]) if names else [])
    if gone:
        await client.srem(names_of(part), *gone)
    return there


def names_of(part: Part) -> str:
    """The key of the set of their names."""
    return f"underpaint:{part}s"


def _key(part: Part, name: str) -> str:
    return f"underpaint:{part}:{name}"


def _sorted(members: set[bytes | str]) -> list[str]:
    return sorted(member.decode() if isinstance(member, bytes) else member for member in members)


def _split(names: list[str], values: Sequence[bytes | str | None]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Those that are there, and the names of those whose time ran out."""
    pairs = list(zip(names, values, strict=True))
    there = {name: json.loads(value) for name, value in pairs if value is not None}
    return there, [name for name, value in pairs if value is None]
