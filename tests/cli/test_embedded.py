"""The embedded PostgreSQL and Valkey: first starts, starts after a crash, awkward folders."""

import asyncio
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cli.errors import CommandError
from cli.up.child import Child
from cli.up.postgres import Postgres
from cli.up.valkey import Valkey

T = TypeVar("T")


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A folder that a first start has made; copies of it are quicker than more first starts."""
    folder = Path(tempfile.mkdtemp(prefix="underpaint-test-", dir="/tmp"))
    asyncio.run(Postgres(folder / "postgres", lambda line: None).create())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data(made: Path) -> Iterator[Path]:
    """The data folder of a PostgreSQL that is not running. Its path has a space, as paths do."""
    with tempfile.TemporaryDirectory(prefix="underpaint test-", dir="/tmp") as folder:
        os.chmod(folder, 0o711)
        copy = Path(folder) / "postgres"
        # `cp` keeps the owner, who is another user where the tests run as root.
        os.spawnlp(os.P_WAIT, "cp", "cp", "-a", str(made / "postgres"), str(copy))
        yield copy


def run(postgres: Postgres, ask: Callable[[str], T], kill: bool = False) -> T:
    """The result of ``ask`` with the URL of the running server."""

    async def start_and_ask() -> T:
        await postgres.create()
        spec = replace(postgres.spec(), patience=math.inf)
        child = Child(spec, Path(tempfile.gettempdir()) / "underpaint-test-postgres.log", lambda name, line: None)
        await child.start()
        try:
            await postgres.wait()
            return await asyncio.to_thread(ask, postgres.url)
        finally:
            if kill:
                child.kill()
                await child.wait()
            else:
                assert await child.stop()
            child.log.unlink()

    return asyncio.run(start_and_ask())


def make(url: str) -> None:
    with psycopg.connect(url) as client:
        client.execute("CREATE TABLE kept AS SELECT 7 AS number")


def look(url: str) -> int:
    with psycopg.connect(url) as client:
        row = client.execute("SELECT number FROM kept").fetchone()
        assert row
        return row[0]


def test_data_outlive_the_server(data: Path) -> None:
    reported: list[str] = []
    run(Postgres(data, reported.append), make)
    assert run(Postgres(data, reported.append), look) == 7
    assert reported == []
    assert not (data / "postmaster.pid").exists()


def test_after_a_crash_a_living_process_may_have_its_id(data: Path) -> None:
    postgres = Postgres(data, lambda line: None)
    run(postgres, make, kill=True)
    mark = data / "postmaster.pid"
    lines = mark.read_text().splitlines()
    mark.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert run(postgres, look) == 7


def test_a_path_too_long_for_a_socket(data: Path) -> None:
    long = data.parent / ("long" * 30) / "postgres"
    long.parent.mkdir()
    data.rename(long)
    postgres = Postgres(long, lambda line: None)
    run(postgres, make)
    sockets = Path(postgres.url.split("host=")[1].split("&")[0])
    assert sockets.stat().st_mode & 0o777 == 0o700
    postgres.clean()
    assert not sockets.exists()


def test_an_interrupted_first_start_leaves_nothing_in_the_way() -> None:
    with tempfile.TemporaryDirectory(prefix="underpaint-test-", dir="/tmp") as folder:
        os.chmod(folder, 0o711)
        postgres = Postgres(Path(folder) / "postgres", lambda line: None)

        async def interrupted() -> None:
            task = asyncio.create_task(postgres.create())
            while not any(path.is_dir() for path in Path(folder).glob("postgres.new-*/base")):
                await asyncio.sleep(0.01)
            task.cancel()
            await task

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(interrupted())
        assert not (Path(folder) / "postgres").exists()
        (Path(folder) / "postgres.new-killed").mkdir()  # as after SIGKILL
        run(postgres, make)
        assert [path.name for path in Path(folder).iterdir()] == ["postgres"]


def test_data_of_another_version_are_left_alone(data: Path) -> None:
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(CommandError, match=r"were written by PostgreSQL 16; installed is 18"):
        asyncio.run(Postgres(data, lambda line: None).create())


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "letters").write_text("Dear ...")
    with pytest.raises(CommandError, match="holds no PostgreSQL data, but it is not empty"):
        asyncio.run(Postgres(tmp_path / "postgres", lambda line: None).create())


def test_valkey_keeps_what_it_was_told_and_asks_for_its_password() -> None:
    async def start_and_ask(folder: Path, ask: Callable[[redis.Redis], T]) -> T:
        valkey = Valkey(folder)
        child = Child(replace(valkey.spec(), patience=math.inf), folder / "log", lambda name, line: None)
        await child.start()
        try:
            await valkey.wait()
            stranger = redis.Redis(port=urlsplit(valkey.url).port or 0, retry=Retry(NoBackoff(), 0))
            with stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
            with redis.Redis.from_url(valkey.url) as client:
                return ask(client)
        finally:
            assert await child.stop()

    with tempfile.TemporaryDirectory(prefix='underpaint "test" ', dir="/tmp") as name:
        folder = Path(name)
        asyncio.run(start_and_ask(folder, lambda client: client.set("kept", "yes")))
        assert asyncio.run(start_and_ask(folder, lambda client: client.get("kept"))) == b"yes"
        assert (folder / "valkey.conf").stat().st_mode & 0o777 == 0o600
