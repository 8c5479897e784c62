"""Workers on a real PostgreSQL, a real Valkey and the shipped model."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import redis
from sqlalchemy import Engine

from contract.fields import Generation
from sampler import Model, load_model
from store.catalog import Catalog
from store.database import sync_sessions
from store.pictures import open_pictures
from store.redis_clients import sync_redis
from store.settings import JobSettings, WorkerSettings
from tasks.engines import Engines
from tasks.leases import Leases
from tasks.queue import app
from tasks.worker import Worker
from tests.tasks.inside import Process, Reference, Start
from tests.tasks.jobs import Jobs


@pytest.fixture
def jobs(database: Engine, generation: Callable[..., Generation]) -> Jobs:
    return Jobs(database, generation)


@pytest.fixture
def valkey(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A client of the emptied Valkey, which is also the broker of this process."""
    monkeypatch.setitem(app.conf, "broker_url", redis_url)
    with sync_redis(redis_url) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """Engines that all tests share, so that the model is loaded once."""
    made = Engines(width=None, device="cpu")
    yield made
    made.close(10)


@pytest.fixture(scope="session")
def emoji(catalog: Catalog) -> Model:
    return load_model(catalog["emoji"].location)


@pytest.fixture(scope="session")
def reference(emoji: Model, engines: Engines, catalog: Catalog) -> Reference:
    return Reference(emoji, engines.get(catalog["emoji"]))


@pytest.fixture
def process(engine: Engine, valkey: redis.Redis, catalog: Catalog, engines: Engines) -> Iterator[Start]:
    """Makes workers that run in this process and share the engines."""
    with ExitStack() as stack:

        def make(name: str = "worker", **fields: object) -> Process:
            worker = Worker(
                name=name,
                concurrency=4,
                settings=WorkerSettings(),
                jobs=JobSettings(),
                catalog=catalog,
                sessions=sync_sessions(engine),
                pictures=open_pictures(),
                redis=valkey,
                engines=engines,
                leases=Leases(),
            )
            made = Process(replace(worker, **fields))
            stack.callback(made.close)
            return made

        yield make
