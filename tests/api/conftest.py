"""The API in a process of its own, on an empty database."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from contract.words import Scope
from store import keys
from store.tables import Job
from tests.api.serving import serving
from tests.api.worker import Worker
from tests.until import until

# Pictures are sent as a test has saved them, byte for byte. `test_marks` has those that say how they were made.
UNMARKED = {"UNDERPAINT_PICTURE_PARAMETERS": "false", "UNDERPAINT_PICTURE_SOURCE": "false"}


@pytest.fixture(scope="session")
def address(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the API."""
    log: Path = tmp_path_factory.mktemp("api") / "log"
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(log, **settings, **UNMARKED) as served:
        yield served


@pytest.fixture
def valkey(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the emptied Valkey."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def client(address: str, database: Engine, valkey: redis.Redis) -> Iterator[httpx.Client]:
    """An HTTP client of the API. The database is empty."""
    with httpx.Client(base_url=address, trust_env=False, timeout=20) as opened:
        yield opened


@pytest.fixture(scope="session")
def keyed_address(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an API for tests that create keys: a process remembers for seconds that a key is required."""
    log: Path = tmp_path_factory.mktemp("keyed") / "log"
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(log, **settings, **UNMARKED) as served:
        yield served


@pytest.fixture
def make_key(database: Engine) -> Callable[..., str]:
    """Creates keys with a name, scopes and limits."""

    def make(name: str, *scopes: Scope, **limits: Any) -> str:
        key = keys.new_key()
        with database.begin() as connection:
            connection.execute(keys.create(name, key, scopes or ("submit", "read"), **limits))
        return key

    return make


@pytest.fixture
def holder(
    keyed_address: str, make_key: Callable[..., str], valkey: redis.Redis
) -> Iterator[Callable[..., httpx.Client]]:
    """Makes HTTP clients, each with a new key of the given name, scopes and limits."""
    with ExitStack() as opened:

        def make(name: str, *scopes: Scope, **limits: Any) -> httpx.Client:
            headers = {"Authorization": f"Bearer {make_key(name, *scopes, **limits)}"}
            client = httpx.Client(base_url=keyed_address, headers=headers, trust_env=False, timeout=20)
            return opened.enter_context(client)

        yield make


@pytest.fixture
def worker(database: Engine) -> Worker:
    return Worker(database)


def wait_until_sent(database: Engine, job: str) -> None:
    """Wait until the message for a job was sent, which happens after the response."""

    def sent() -> bool:
        with Session(database) as session:
            return session.scalar(select(Job.sent_at).where(Job.id == UUID(job))) is not None

    until(sent)


def within_a_minute(send: Callable[[], list[httpx.Response]]) -> list[httpx.Response]:
    """The responses to requests that ``send`` makes within one minute. If a slow machine takes longer, ``send`` is
    called again; it must then use something that has not been counted yet."""
    while True:
        began = time.monotonic()
        responses = send()
        if time.monotonic() - began < 60:
            return responses


@pytest.fixture
def submit(client: httpx.Client) -> Callable[..., str]:
    """Submits a job for a red heart with the given fields, and returns its id."""

    def send(**fields: Any) -> str:
        response = client.post("/v1/jobs", json={"prompt": "red heart", "seed": 7, **fields})
        assert response.status_code == 202, response.text
        return response.json()["id"]

    return send
