"""Answers that are held until there is news."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from fastapi import Request
from redis.asyncio.client import PubSub
from sqlalchemy import Engine

from api.http.prefer import MAX_WAIT, Wait, preferred
from api.live.subscriptions import Look, Subscription, Subscriptions
from store import wakeups
from store.database import async_engine, async_sessions
from store.redis_clients import async_redis
from tests.api.problem import faults, problem
from tests.api.serving import serving
from tests.api.worker import Worker, png
from tests.until import PATIENCE

Submit = Callable[..., str]
Later = Callable[..., "Future[httpx.Response]"]

HELD = 0.4  # s; an answer that has not come by then is held


@pytest.fixture
def later(client: httpx.Client) -> Iterator[Later]:
    """Sends a GET in a thread, and returns once its answer is held."""

    def waiting() -> int:
        found = re.search(r'^underpaint_waiting_clients{how="held"} (\d+)', client.get("/metrics").text, re.MULTILINE)
        assert found
        return int(found[1])

    with ThreadPoolExecutor(8) as pool:

        def get(url: str, known: str | None = None, **options: Any) -> "Future[httpx.Response]":
            headers = {**({"If-None-Match": known} if known else {}), **options.pop("headers", {})}
            before = waiting()
            future = pool.submit(client.get, url, headers=headers, **options)
            while waiting() == before:
                assert not future.done(), future.result().text
            return future

        yield get


def test_a_job_is_held_until_it_changes(
    client: httpx.Client, submit: Submit, worker: Worker, later: Later, valkey: redis.Redis
) -> None:
    job = submit()
    first = client.get(f"/v1/jobs/{job}")
    held = later(f"/v1/jobs/{job}?wait=20", first.headers["etag"])
    worker.claim(job)
    wakeups.publish(valkey, UUID(job), 2)
    answer = held.result(20)
    assert (answer.status_code, answer.json()["state"]) == (200, "running")
    assert answer.headers["etag"] == 'W/"2"'
    assert "preference-applied" not in answer.headers


def test_one_whose_answers_are_held_sees_every_iterate(
    client: httpx.Client, submit: Submit, worker: Worker, later: Later, valkey: redis.Redis
) -> None:
    job = submit()
    worker.claim(job)
    for iterate in range(5):
        held = later(f"/v1/jobs/{job}?wait=60", client.get(f"/v1/jobs/{job}").headers["etag"])
        saved = worker.save(job, iterate, png(iterate))
        wakeups.publish(valkey, UUID(job), saved.seq)
        assert held.result(PATIENCE).json()["images"][0]["iterate"] == iterate


def test_a_lost_message_costs_seconds_only(client: httpx.Client, submit: Submit, worker: Worker, later: Later) -> None:
    job = submit()
    held = later(f"/v1/jobs/{job}?wait=20", client.get(f"/v1/jobs/{job}").headers["etag"])
    worker.claim(job)
    assert held.result(20).json()["state"] == "running"


def test_a_message_of_what_is_known_wakes_nobody(
    client: httpx.Client, submit: Submit, worker: Worker, later: Later, valkey: redis.Redis
) -> None:
    job = submit()
    worker.claim(job)
    held = later(f"/v1/jobs/{job}?wait=2", client.get(f"/v1/jobs/{job}").headers["etag"])
    for late in (1, 2, 2, 1):
        wakeups.publish(valkey, UUID(job), late)
    valkey.publish(wakeups.JOBS, b"nonsense")
    assert held.result(20).status_code == 304


def test_a_subscription_is_woken_by_what_its_client_does_not_know() -> None:
    async def run() -> list[bool]:
        subscription = Subscription("held")
        subscription.seen = 3
        news: list[bool] = []
        for seq in (2, 3, 4, None):
            subscription.wake(seq)
            news.append(await subscription.news(0))
        news.append(await subscription.news(0))  # each wakes once
        subscription.leave()
        return [*news, await subscription.news(60)]

    assert asyncio.run(run()) == [False, False, True, True, False, False]


def test_nothing_to_wait_for_is_answered_at_once(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit()
    old = client.get(f"/v1/jobs/{job}").headers["etag"]
    worker.run(job)
    picture = f"/v1/jobs/{job}/images/0/iterates"
    final = client.get(f"{picture}/latest").headers["etag"]
    # Each of them would time out if it were held.
    assert client.get(f"/v1/jobs/{job}?wait=60").status_code == 200
    assert client.get(f"/v1/jobs/{job}?wait=60", headers={"If-None-Match": old}).status_code == 200
    assert client.get(f"{picture}/latest?wait=60").status_code == 200
    assert client.get(f"{picture}/latest?wait=60", headers={"If-None-Match": final}).status_code == 304
    assert client.get(f"{picture}/2?wait=60", headers={"If-None-Match": final}).status_code == 304
    problem(client.get(f"{picture}/3?wait=60"), 404, "no-such-picture")
    problem(client.get(f"/v1/jobs/{job}/images/1/iterates/latest?wait=60"), 404, "no-such-picture")
    problem(client.get(f"/v1/jobs/{uuid4()}?wait=60"), 404, "no-such-job")
    problem(client.get(f"/v1/jobs/{uuid4()}/images/0/iterates/latest?wait=60"), 404, "no-such-job")


def test_a_wait_that_is_over(client: httpx.Client, submit: Submit) -> None:
    job = submit()
    known = {"If-None-Match": client.get(f"/v1/jobs/{job}").headers["etag"]}
    began = time.monotonic()
    answer = client.get(f"/v1/jobs/{job}", headers={**known, "Prefer": "respond-async, wait=1"})
    assert time.monotonic() - began >= 1
    assert (answer.status_code, answer.headers["preference-applied"]) == (304, "wait=1")
    problem(client.get(f"/v1/jobs/{job}/images/0/iterates/latest?wait=1"), 404, "no-such-picture")


def test_who_waits_for_a_place_in_the_queue_sees_it(client: httpx.Client, submit: Submit, later: Later) -> None:
    first, second = submit(), submit()
    held = later(f"/v1/jobs/{second}?wait=2", client.get(f"/v1/jobs/{second}").headers["etag"])
    client.post(f"/v1/jobs/{first}/cancel")
    assert held.result(20).json()["queue_position"] == 1


def test_a_deleted_job_is_waited_for_no_longer(
    client: httpx.Client, submit: Submit, worker: Worker, later: Later
) -> None:
    job = submit()
    worker.run(job)
    held = later(f"/v1/jobs/{job}?wait=20", client.get(f"/v1/jobs/{job}").headers["etag"])
    client.delete(f"/v1/jobs/{job}")
    problem(held.result(20), 404, "no-such-job")


@pytest.mark.parametrize("wait", ["-1", str(MAX_WAIT + 1), "soon", "1.5", ""])
def test_a_wait_that_cannot_be(client: httpx.Client, submit: Submit, wait: str) -> None:
    job = submit()
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/images/0/iterates/latest"):
        assert list(faults(client.get(path, params={"wait": wait}))) == ["wait"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ('respond-async, WAIT = "7"; note', 7),
        ("wait=5, wait=9", 5),
        ("wait=100000", MAX_WAIT),
        ("wait=0", 0),
        ("wait=-1", None),
        ("wait", None),
        ("wait=1.5", None),
        ("await=3", None),
        ("", None),
        (None, None),
    ],
)
def test_preferences(header: str | None, seconds: int | None) -> None:
    assert preferred(header) == seconds


def test_the_newest_picture_is_held_until_there_is_a_newer(
    client: httpx.Client, submit: Submit, worker: Worker, later: Later, valkey: redis.Redis
) -> None:
    job = submit()
    path = f"/v1/jobs/{job}/images/0/iterates/latest"
    first = later(f"{path}?wait=20")
    worker.claim(job)
    worker.start(job)
    saved = worker.save(job, 0, png(0))
    wakeups.publish(valkey, UUID(job), saved.seq)
    answer = first.result(20)
    assert (answer.status_code, answer.content, answer.headers["underpaint-iterate"]) == (200, png(0), "0")

    # Another format is another picture with another name.
    headers = {"Accept": "image/webp", "Prefer": "wait=30"}
    known = client.get(path, headers=headers).headers["etag"]
    second = later(path, known, headers=headers)
    saved = worker.save(job, 1, png(1))
    wakeups.publish(valkey, UUID(job), saved.seq)
    answer = second.result(20)
    assert (answer.headers["underpaint-iterate"], answer.headers["content-type"]) == ("1", "image/webp")
    assert answer.headers["preference-applied"] == "wait=30"

    third = later(f"{path}?wait=20", client.get(path).headers["etag"])
    worker.finish(job)
    wakeups.publish(valkey, UUID(job), saved.seq + 2)
    assert third.result(20).status_code == 304


def test_a_numbered_picture_is_held_until_it_is_there(
    client: httpx.Client, submit: Submit, worker: Worker, later: Later, valkey: redis.Redis
) -> None:
    job = submit()
    path = f"/v1/jobs/{job}/images/0/iterates"
    second, third, fourth = (later(f"{path}/{number}?wait=20") for number in (1, 2, 3))
    worker.claim(job)
    for number in range(2):
        wakeups.publish(valkey, UUID(job), worker.save(job, number, png(number)).seq)
    assert second.result(20).content == png(1)
    saved = worker.save(job, 2, None)  # only its figures
    wakeups.publish(valkey, UUID(job), saved.seq)
    assert "only figures" in problem(third.result(20), 404, "no-such-picture")["detail"]
    assert not fourth.done()
    worker.finish(job)
    wakeups.publish(valkey, UUID(job), saved.seq + 2)
    assert "the newest one is 2" in problem(fourth.result(20), 404, "no-such-picture")["detail"]


def test_who_waits_misses_nothing_without_redis(postgres_url: str, database: Engine, tmp_path: Path) -> None:
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": "redis://127.0.0.1:1/0"}
    worker = Worker(database)
    with (
        serving(tmp_path / "log", **settings) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=30) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        job = client.post("/v1/jobs", json={"prompt": "red heart"}).json()["id"]
        known = {"If-None-Match": client.get(f"/v1/jobs/{job}").headers["etag"]}
        held = pool.submit(client.get, f"/v1/jobs/{job}?wait=20", headers=known)
        time.sleep(HELD)
        assert not held.done()
        worker.claim(job)
        assert held.result(20).json()["state"] == "running"
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_client_that_leaves_is_forgotten_at_once(postgres_url: str, redis_url: str, database: Engine) -> None:
    job = uuid4()

    async def leave() -> None:
        engine, client = async_engine(postgres_url), async_redis(redis_url)
        subscriptions = Subscriptions(client, *[async_sessions(engine)] * 3)
        left = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        looks: list[int] = []

        async def look(_: object) -> Look[str]:
            looks.append(1)
            return Look(1, "nothing new")

        async with subscriptions.running():
            request = Request({"type": "http"}, receive)
            wait = Wait(30, preferred=False)
            held = asyncio.create_task(subscriptions.until_enough(job, request, wait, "it", look, lambda _: False))
            while not looks:
                await asyncio.sleep(0.01)
            assert list(subscriptions._subscriptions) == [job]
            left.set()
            async with asyncio.timeout(20):
                assert await held == "nothing new"
            assert subscriptions._subscriptions == {}
        await client.aclose()
        await engine.dispose()

    asyncio.run(leave())


def test_listening_ends_although_a_cancellation_is_swallowed(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    swallowed = asyncio.Event()

    class Messages(PubSub):
        """Swallows one cancellation, as `asyncio.wait_for` of Python 3.11 does if it comes with the result."""

        async def subscribe(self, *channels: Any, **handlers: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.set()
            await super().subscribe(*channels, **handlers)

    async def listen() -> None:
        engine, client = async_engine(postgres_url), async_redis(redis_url)
        monkeypatch.setattr(client, "pubsub", lambda: Messages(client.connection_pool))
        async with asyncio.timeout(20):
            async with Subscriptions(client, *[async_sessions(engine)] * 3).running():
                await asyncio.sleep(0)
            assert swallowed.is_set()
        await client.aclose()
        await engine.dispose()

    asyncio.run(listen())


NEVER = 10_000.0  # s


@asynccontextmanager
async def listening(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, poll: float
) -> AsyncIterator[tuple[Subscriptions, Callable[[UUID, int], Awaitable[None]]]]:
    """Subscriptions of this process, which poll so often (in seconds), and what publishes that a job has an event."""
    monkeypatch.setattr("api.live.subscriptions.POLL_SECONDS", poll)
    engine, client = async_engine(postgres_url), async_redis(redis_url)
    subscriptions = Subscriptions(client, *[async_sessions(engine)] * 3)
    async with subscriptions.running():
        yield subscriptions, lambda job, seq: wakeups.publish_async(client, job, seq)
    await client.aclose()
    await engine.dispose()


async def connected(subscriptions: Subscriptions, publish: Callable[[UUID, int], Awaitable[None]]) -> None:
    """Return when the subscriber hears what is published."""
    marker = uuid4()
    with subscriptions.subscribe(marker) as subscription:
        heard = False
        while not heard:
            await publish(marker, 1)
            heard = await subscription.news(0.1)
            # What it heard may also be that the connection is new. It hears that once.
        subscription.seen = 0
        await publish(marker, 1)
        assert await subscription.news(20)


def test_a_message_wakes_those_who_wait_for_that_job(
    postgres_url: str, redis_url: str, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with listening(postgres_url, redis_url, monkeypatch, NEVER) as (subscriptions, publish):
            await connected(subscriptions, publish)
            job = uuid4()
            with (
                subscriptions.subscribe(job) as first,
                subscriptions.subscribe(job) as second,
                subscriptions.subscribe(uuid4()) as other,
            ):
                second.seen = 1
                await publish(job, 1)
                assert await first.news(20)
                assert not await second.news(0.2), "it knows that event"
                assert not await other.news(0.2), "that is another job"
                assert not await first.news(0.2), "it was woken once"

    asyncio.run(run())


def test_a_new_connection_to_redis_wakes_everybody(
    postgres_url: str, redis_url: str, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with listening(postgres_url, redis_url, monkeypatch, NEVER) as (subscriptions, publish):
            await connected(subscriptions, publish)
            with subscriptions.subscribe(uuid4()) as subscription:
                subscription.seen = 1
                valkey.client_kill_filter(_type="pubsub")  # what was published meanwhile is lost
                assert await subscription.news(20)

    asyncio.run(run())


def test_the_poll_starts_with_the_first_who_waits(
    postgres_url: str, database: Engine, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = UUID(submit())

    async def run() -> None:
        async with listening(postgres_url, "redis://127.0.0.1:1/0", monkeypatch, 0) as (subscriptions, _):
            for _ in range(10):
                await asyncio.sleep(0)  # the poll has found nobody, and rests
            with subscriptions.subscribe(job) as late, subscriptions.subscribe(uuid4()) as gone:
                assert await late.news(20)
                assert await gone.news(20), "a job that is gone has news, too"
            with subscriptions.subscribe(job) as informed:
                informed.seen = 1
                assert not await informed.news(0.2)

    asyncio.run(run())
