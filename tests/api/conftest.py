"""The API, served by a process of its own, on an empty database."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import Engine

from tests.api.serving import serving
from tests.api.worker import Worker


@pytest.fixture(scope="session")
def address(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the API is served."""
    log: Path = tmp_path_factory.mktemp("api") / "log"
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(log, **settings) as served:
        yield served


@pytest.fixture
def valkey(redis_url: str) -> Iterator[redis.Redis]:
    """A client of an empty Valkey."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def client(address: str, database: Engine, valkey: redis.Redis) -> Iterator[httpx.Client]:
    """An HTTP client of the API; nothing is stored yet."""
    with httpx.Client(base_url=address, trust_env=False, timeout=20) as opened:
        yield opened


@pytest.fixture
def worker(database: Engine) -> Worker:
    return Worker(database)


@pytest.fixture
def submit(client: httpx.Client) -> Callable[..., str]:
    """Submits a job, a red heart but for what is named, and gives its id."""

    def send(**fields: Any) -> str:
        response = client.post("/v1/jobs", json={"prompt": "red heart", "seed": 7, **fields})
        assert response.status_code == 202, response.text
        return response.json()["id"]

    return send
