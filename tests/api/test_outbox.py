"""Workers are called behind the requests that queued their jobs; nothing is lost by it, and nothing silently."""

import asyncio
import logging
import math
import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
import redis
from celery.signals import before_task_publish
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from api.queue.outbox import Outbox
from api.queue.pace import Pace, Pacer
from api.queue.queue_position import QueuePositions
from contract.fields import Generation
from store import moves
from store.database import async_engine, async_sessions
from store.redis_clients import async_redis
from store.tables import Job
from tasks.queue import QUEUE, app
from tests.until import PATIENCE

Made = list[UUID]


@pytest.fixture
def queued(database: Engine, generation: Callable[..., Generation]) -> Made:
    """Jobs that nobody was called for."""
    made = [uuid4() for _ in range(70)]  # more than are noted at once
    with Session(database) as session:
        for job in made:
            session.execute(moves.submit(job, generation())).all()
            session.commit()
    return made


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has this process call workers through another broker."""
    return lambda url: monkeypatch.setitem(app.conf, "broker_url", url)


def send_all(url: str, made: Made) -> None:
    """Send all, and end at once."""

    async def run() -> None:
        engine = async_engine(url)
        outbox = Outbox(async_sessions(engine))
        async with outbox.running():
            await asyncio.gather(*(outbox.send(job) for job in made))
        await engine.dispose()

    asyncio.run(run())


def unsent(database: Engine) -> int:
    with Session(database) as session:
        return len(session.scalars(select(Job.id).where(Job.sent_at.is_(None))).all())


def test_what_is_left_at_the_end_is_sent(
    queued: Made,
    database: Engine,
    postgres_url: str,
    valkey: redis.Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(app.conf, "broker_url", redis_url)
    send_all(postgres_url, queued)
    assert valkey.llen(QUEUE) == len(queued)
    assert unsent(database) == 0


def test_only_what_the_broker_took_is_noted_as_sent(
    queued: Made,
    database: Engine,
    postgres_url: str,
    valkey: redis.Redis,
    redis_url: str,
    broker: Callable[[str], None],
) -> None:
    broker(redis_url)
    published = 0

    def stall(**_: object) -> None:
        nonlocal published
        published += 1
        if published == 4:
            valkey.client_pause(60_000, all=False)  # writes alone: this one times out

    before_task_publish.connect(stall)
    try:
        send_all(postgres_url, queued)
    finally:
        before_task_publish.disconnect(stall)
        valkey.client_unpause()
    assert valkey.llen(QUEUE) == 3
    assert unsent(database) == len(queued) - 3


def test_a_request_goes_on_when_the_broker_has_taken_the_call(
    queued: Made,
    postgres_url: str,
    valkey: redis.Redis,
    redis_url: str,
    broker: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker(redis_url)
    monkeypatch.setattr("api.queue.outbox.HEAD_START", math.inf)

    async def run() -> None:
        engine = async_engine(postgres_url)
        outbox = Outbox(async_sessions(engine))
        async with outbox.running(), asyncio.timeout(PATIENCE):
            await outbox.send(queued[0])
            assert valkey.llen(QUEUE) == 1
        await engine.dispose()

    asyncio.run(run())


def test_a_request_does_not_wait_for_the_call_to_be_out(
    queued: Made, postgres_url: str, valkey: redis.Redis, redis_url: str, broker: Callable[[str], None]
) -> None:
    broker(redis_url)
    answered = threading.Event()
    waited: list[bool] = []

    def hold(**_: object) -> None:
        waited.append(answered.wait(60))

    async def run() -> None:
        engine = async_engine(postgres_url)
        outbox = Outbox(async_sessions(engine))
        async with outbox.running():
            await outbox.send(queued[0])
            answered.set()
        await engine.dispose()

    before_task_publish.connect(hold)
    try:
        asyncio.run(run())
    finally:
        before_task_publish.disconnect(hold)
    assert waited == [True], "the request was answered while the call was held"
    assert valkey.llen(QUEUE) == 1


def test_without_the_broker_the_janitor_finds_them(
    queued: Made, database: Engine, postgres_url: str, broker: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    broker("redis://127.0.0.1:1/0")
    with caplog.at_level(logging.WARNING):
        send_all(postgres_url, queued)
    assert unsent(database) == len(queued)
    assert all(str(job) in caplog.text for job in queued), "nothing is lost silently"


def test_places_that_are_asked_for_together_are_one_look(queued: Made, postgres_url: str) -> None:
    async def run() -> tuple[list[int | None], int]:
        engine = async_engine(postgres_url)
        looks = 0

        def note(*_: object) -> None:
            nonlocal looks
            looks += 1

        event.listen(engine.sync_engine, "before_cursor_execute", note)
        positions = QueuePositions(async_sessions(engine), None)
        found = await asyncio.gather(*(positions.of(job) for job in queued))
        claimed = await positions.of(uuid4())
        await engine.dispose()
        return [*found, claimed], looks

    found, looks = asyncio.run(run())
    assert found == [*range(1, len(queued) + 1), 1]
    assert looks == 2


def test_estimates_that_nobody_can_look_up_refuse_no_job() -> None:
    async def run() -> tuple[int | None, Pace]:
        sessions = async_sessions(async_engine("postgresql://u:p@127.0.0.1:1/u"))
        pacer = Pacer(async_redis("redis://127.0.0.1:1/0"), None)
        return await QueuePositions(sessions, None).of(uuid4()), await pacer.latest(sessions)

    place, pace = asyncio.run(run())
    assert place is None
    assert not pace.alive, "as nothing was ever measured"
