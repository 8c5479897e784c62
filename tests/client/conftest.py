"""A server, a proxy that can break connections, and both clients. The tests act as the worker."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from contract.words import Scope
from store import keys
from tests.api.conftest import UNMARKED
from tests.api.serving import serving
from tests.api.worker import Worker
from tests.client.either import Blocking
from tests.client.proxy import Proxy
from underpaint import Underpaint


@pytest.fixture(scope="session")
def address(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the API."""
    log = tmp_path_factory.mktemp("client") / "log"
    with serving(log, UNDERPAINT_DATABASE_URL=postgres_url, UNDERPAINT_REDIS_URL=redis_url, **UNMARKED) as served:
        yield served


@pytest.fixture
def proxy(address: str) -> Iterator[Proxy]:
    with Proxy(address) as proxy:
        yield proxy


@pytest.fixture
def make_key(database: Engine, redis_url: str) -> Callable[..., str]:
    """Creates keys with the given scopes and limits. The database is empty otherwise."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()

    def make(name: str, *scopes: Scope, **limits: Any) -> str:
        key = keys.new_key()
        with database.begin() as connection:
            connection.execute(keys.create(name, key, scopes or ("submit", "read"), **limits))
        return key

    return make


@pytest.fixture(params=[Underpaint, Blocking])
def make(request: pytest.FixtureRequest, proxy: Proxy) -> Iterator[Callable[..., Underpaint]]:
    """Makes clients; each test runs with the synchronous and with the asynchronous one."""
    with ExitStack() as opened:
        yield lambda **options: opened.enter_context(request.param(**{"server": proxy.address, **options}))


@pytest.fixture
def client(make: Callable[..., Underpaint], make_key: Callable[..., str]) -> Underpaint:
    return make(key=make_key("ann"), patience=math.inf)


@pytest.fixture
def worker(database: Engine) -> Worker:
    return Worker(database)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made
