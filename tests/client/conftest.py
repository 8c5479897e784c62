"""A server, a wire to it that can be cut, and both clients of it; what a worker does, the tests do by hand."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from contract.words import Scope
from store import keys
from tests.api.serving import serving
from tests.api.worker import Worker
from tests.client.either import Blocking
from tests.client.wire import Wire
from underpaint import Underpaint


@pytest.fixture(scope="session")
def address(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the API is served."""
    log = tmp_path_factory.mktemp("client") / "log"
    with serving(log, UNDERPAINT_DATABASE_URL=postgres_url, UNDERPAINT_REDIS_URL=redis_url) as served:
        yield served


@pytest.fixture
def wire(address: str) -> Iterator[Wire]:
    with Wire(address) as wire:
        yield wire


@pytest.fixture
def make_key(database: Engine, redis_url: str) -> Callable[..., str]:
    """Makes a key with these scopes and limits, and gives it; nothing else is stored yet."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()

    def make(name: str, *scopes: Scope, **limits: Any) -> str:
        key = keys.new_key()
        with database.begin() as connection:
            connection.execute(keys.create(name, key, scopes or ("submit", "read"), **limits))
        return key

    return make


@pytest.fixture(params=[Underpaint, Blocking])
def make(request: pytest.FixtureRequest, wire: Wire) -> Iterator[Callable[..., Underpaint]]:
    """Makes clients, of either kind: the one for asyncio behind a portal."""
    with ExitStack() as opened:
        yield lambda **how: opened.enter_context(request.param(**{"server": wire.address, **how}))


@pytest.fixture
def client(make: Callable[..., Underpaint], make_key: Callable[..., str]) -> Underpaint:
    return make(key=make_key("ann"))


@pytest.fixture
def worker(database: Engine) -> Worker:
    return Worker(database)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made
