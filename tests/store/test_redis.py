"""Wake-ups, hot previews and the presence of workers, with a Valkey and after it is gone."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
import redis.asyncio

from store import wakeups, workers
from store.pictures import redis_cache
from store.redis_clients import async_redis, sync_redis
from tests.until import until

JOB = UUID("0f0e0d0c-0b0a-4908-8706-050403020100")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with sync_redis(redis_url) as made:
        made.flushall()
        yield made


@pytest.fixture
def gone_url() -> str:
    """Where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"redis://127.0.0.1:{free.getsockname()[1]}/0"


@asynccontextmanager
async def asyncio_client(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    made = async_redis(url)
    yield made
    await made.aclose()


def with_asyncio(url: str, use: Callable[[redis.asyncio.Redis], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with asyncio_client(url) as made:
            return await use(made)

    return asyncio.run(run())


def test_wakeups_reach_subscribers(client: redis.Redis, redis_url: str):
    async def publish(made: redis.asyncio.Redis) -> None:
        await wakeups.publish_async(made, JOB, 8)
        await wakeups.control_async(made, JOB)

    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(wakeups.JOBS, wakeups.CONTROL)
        while not listener.subscribed or client.pubsub_numsub(wakeups.CONTROL)[0][1] == 0:
            time.sleep(0.01)
        wakeups.publish(client, JOB, 7)
        wakeups.control(client, JOB)
        with_asyncio(redis_url, publish)
        messages: list[Any] = []
        while len(messages) < 4:
            message = listener.get_message(timeout=1)
            messages += [message] if message else []
    assert [wakeups.decode(message["data"]) for message in messages[::2]] == [(JOB, 7), (JOB, 8)]
    assert [wakeups.decode_control(message["data"]) for message in messages[1::2]] == [JOB, JOB]
    assert messages[0]["data"] == b'{"job": "%s", "seq": 7}' % str(JOB).encode()


@pytest.mark.parametrize("message", [b"", b"[]", b"{}", b'{"job": 1, "seq": 1}', b'{"job": "x", "seq": 1}', b"\xff"])
def test_message_of_somebody_else_is_a_value_error(message: bytes):
    with pytest.raises(ValueError):  # noqa: PT011 - the messages of json, uuid and ours differ
        wakeups.decode(message)
    with pytest.raises(ValueError):  # noqa: PT011
        wakeups.decode_control(message)


def test_previews_are_hot_for_a_while_and_dropped_together(client: redis.Redis, redis_url: str):
    other = uuid4()

    async def get_all(made: redis.asyncio.Redis) -> list[bytes | None]:
        keys = [(JOB, 0, 0), (JOB, 0, 1), (JOB, 1, 0), (other, 0, 0)]
        return [await redis_cache.get(made, *key) for key in keys]

    redis_cache.put(client, JOB, 0, 0, b"\x89PNG\0", 60)
    redis_cache.put(client, JOB, 0, 1, b"two", 60)
    redis_cache.put(client, other, 0, 0, b"other", 60)
    assert with_asyncio(redis_url, get_all) == [b"\x89PNG\0", b"two", None, b"other"]
    assert all(0 < client.ttl(key) <= 60 for key in client.scan_iter())
    redis_cache.drop(client, JOB)
    assert with_asyncio(redis_url, get_all) == [None, None, None, b"other"]
    with_asyncio(redis_url, lambda made: redis_cache.drop_async(made, other))
    assert client.dbsize() == 0


def test_workers_are_there_while_they_say_so(client: redis.Redis, redis_url: str):
    workers.announce(client, "b", {"models": ["emoji"], "jobs": 2}, 60)
    workers.announce(client, "a", {}, 60)
    assert list(workers.alive(client)) == ["a", "b"]
    workers.announce(client, "a", {}, 0.001)
    until(lambda: client.exists("underpaint:worker:a") == 0)
    there = {"b": {"models": ["emoji"], "jobs": 2}}
    assert with_asyncio(redis_url, workers.alive_async) == there
    assert client.smembers(workers.names_of("worker")) == {b"b"}
    assert workers.alive(client) == there
    workers.announce(client, "clock", {}, 60, "beat")
    assert workers.alive(client) == there
    assert (
        workers.alive(client, "beat")
        == with_asyncio(redis_url, lambda c: workers.alive_async(c, "beat"))
        == {"clock": {}}
    )
    workers.withdraw(client, "b")
    assert workers.alive(client) == with_asyncio(redis_url, workers.alive_async) == {}


def test_redis_that_is_gone_costs_nothing_but_a_warning(gone_url: str, caplog: pytest.LogCaptureFixture):
    with sync_redis(gone_url) as client, caplog.at_level(logging.WARNING):
        wakeups.publish(client, JOB, 1)
        wakeups.control(client, JOB)
        redis_cache.put(client, JOB, 0, 0, b"png", 60)
        redis_cache.drop(client, JOB)

        async def use(made: redis.asyncio.Redis) -> None:
            await wakeups.publish_async(made, JOB, 1)
            await wakeups.control_async(made, JOB)
            await redis_cache.drop_async(made, JOB)
            assert await redis_cache.get(made, JOB, 0, 0) is None

        with_asyncio(gone_url, use)
        assert len(caplog.records) == 8
        with pytest.raises(redis.RedisError):
            workers.alive(client)
        with pytest.raises(redis.RedisError):
            with_asyncio(gone_url, workers.alive_async)


def test_connection_that_was_cut_is_made_again(client: redis.Redis, redis_url: str):
    with sync_redis(redis_url) as killer:
        client.ping()
        killer.client_kill_filter(_type="normal", skipme=True)
        redis_cache.put(client, JOB, 0, 0, b"png", 60)
        assert killer.dbsize() == 1
