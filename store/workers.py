"""The presence of workers and beats in Redis: each announces itself periodically, and expires when it stops.

Without Redis the presence of others is unknown, so the functions raise ``outages.REDIS_AWAY``.
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
    """Announce a process for the next ``seconds``. ``info`` (JSON values) is what ``alive`` returns for it."""
    with client.pipeline(transaction=True) as pipe:
        pipe.sadd(names_of(part), name)
        pipe.set(_key(part, name), json.dumps(info), px=int(seconds * 1000))
        pipe.execute()


def withdraw(client: redis.Redis, name: str, part: Part = "worker") -> None:
    """End the announcement of a process now."""
    with client.pipeline(transaction=True) as pipe:
        pipe.srem(names_of(part), name)
        pipe.delete(_key(part, name))
        pipe.execute()


def alive(client: redis.Redis, part: Part = "worker") -> dict[str, dict[str, Any]]:
    """The info of every process that is announced, by name."""
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
    """The info of those that are announced, and the names of those that have expired."""
    pairs = list(zip(names, values, strict=True))
    there = {name: json.loads(value) for name, value in pairs if value is not None}
    return there, [name for name, value in pairs if value is None]
