"""The presence of workers and beats in Redis: each announces itself periodically, and expires when it stops.

Without Redis the presence of others is unknown, so the functions raise ``outages.REDIS_AWAY``. What others have put in
our place is dropped: an announcement that cannot be read is none, and comes again with the next heartbeat.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves the types of some keyword arguments open.

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import redis
import redis.asyncio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from store.redis_kinds import drop_wrong, drop_wrong_async, is_wrong_kind

Part = Literal["worker", "beat"]

log = logging.getLogger(__name__)


ModelState = Literal["absent", "waiting", "preparing", "ready", "failed"]
_BEST: Sequence[ModelState] = ("ready", "preparing", "waiting", "failed", "absent")


class ModelInfo(BaseModel):
    """What a model does in a worker.

    Attributes:
        state: ``absent`` (not in memory), ``waiting`` (for room), ``preparing`` (it is being loaded), ``ready``, or
            ``failed``.
        share: of a model that is being loaded, the share of its bytes that is in memory.
        size: bytes in memory, if they are known.
        error: why it could not be loaded.
    """

    model_config = ConfigDict(extra="ignore")

    state: ModelState
    share: float | None = None
    size: int | None = None
    error: str | None = None


def model_states(infos: Iterable[Mapping[str, Any]]) -> dict[str, ModelInfo]:
    """What each model does in the worker that is the furthest with it, from the infos of workers."""
    found: dict[str, ModelInfo] = {}
    for info in infos:
        states = info.get("states", {})
        for model in info.get("models", ()):
            state = ModelInfo.model_validate(states.get(model, {"state": "absent"}))
            if model not in found or _BEST.index(state.state) < _BEST.index(found[model].state):
                found[model] = state
    return found


class _Info(BaseModel):
    """What an announcement may hold, and in which form others rely on it."""

    model_config = ConfigDict(extra="allow")

    version: str = ""
    concurrency: int = Field(default=0, ge=0, le=1_000_000)
    jobs: int = Field(default=0, ge=0)
    models: list[str] = []
    engines: dict[str, dict[str, Any]] = {}
    states: dict[str, ModelInfo] = {}
    swept_seconds_ago: float | None = None


def announce(client: redis.Redis, name: str, info: dict[str, Any], seconds: float, part: Part = "worker") -> None:
    """Announce a process for the next ``seconds``. ``info`` (JSON values) is what ``alive`` returns for it."""
    try:
        _announce(client, name, info, seconds, part)
    except redis.ResponseError as error:
        if not is_wrong_kind(error):
            raise
        drop_wrong(client, {names_of(part): "set"})
        _announce(client, name, info, seconds, part)


def _announce(client: redis.Redis, name: str, info: dict[str, Any], seconds: float, part: Part) -> None:
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
    try:
        names = _sorted(client.smembers(names_of(part)))
    except redis.ResponseError as error:
        if not is_wrong_kind(error):
            raise
        drop_wrong(client, {names_of(part): "set"})
        return {}
    there, gone = _split(names, client.mget([_key(part, name) for name in names]) if names else [])
    if gone:
        client.srem(names_of(part), *map(_bytes, gone))
    return there


async def alive_async(client: redis.asyncio.Redis, part: Part = "worker") -> dict[str, dict[str, Any]]:
    """``alive`` for asyncio."""
    try:
        names = _sorted(await client.smembers(names_of(part)))
    except redis.ResponseError as error:
        if not is_wrong_kind(error):
            raise
        await drop_wrong_async(client, {names_of(part): "set"})
        return {}
    there, gone = _split(names, await client.mget([_key(part, name) for name in names]) if names else [])
    if gone:
        await client.srem(names_of(part), *map(_bytes, gone))
    return there


def names_of(part: Part) -> str:
    """The key of the set of their names."""
    return f"underpaint:{part}s"


def _key(part: Part, name: str) -> bytes:
    return f"underpaint:{part}:{name}".encode(errors="surrogateescape")


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _sorted(members: set[bytes | str]) -> list[str]:
    return sorted(
        member.decode(errors="surrogateescape") if isinstance(member, bytes) else member for member in members
    )


def _split(names: list[str], values: Sequence[bytes | str | None]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The info of those that are announced, and the names of those that have expired or cannot be read."""
    there: dict[str, dict[str, Any]] = {}
    gone: list[str] = []
    for name, value in zip(names, values, strict=True):
        if value is None or (info := _read(name, value)) is None:
            gone.append(name)
        else:
            there[name] = info
    return there, gone


def _read(name: str, value: bytes | str) -> dict[str, Any] | None:
    try:
        return _Info.model_validate_json(value).model_dump(exclude_unset=True)
    except ValidationError as error:
        log.warning("what Redis has of %s is no announcement, dropped: %s", ascii(name)[:100], error.errors()[0]["msg"])
        return None
