"""The database that a command works on: that of the settings, or else the embedded one of `underpaint up`."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psycopg
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from cli.errors import CommandError
from cli.processes import migrate
from cli.up.child import Child
from cli.up.datadir import DataDir
from cli.up.postgres import Postgres
from store.database import sync_engine

T = TypeVar("T")

PATIENCE = 60  # s, for the embedded server to start


def on_database(data_dir: Path, work: Callable[[Session], T]) -> T:
    """The result of ``work`` in a transaction, which is committed; see ``with_database``."""
    return with_database(data_dir, lambda url: _transaction(url, work))


def with_database(data_dir: Path, work: Callable[[str], T], create: bool = False) -> T:
    """The result of ``work`` with the URL of a database.

    If the environment names no database, it is the embedded one in ``data_dir``. If `underpaint up` does not run, that
    database is started for the duration of ``work``.

    Args:
        create: whether to create it if there is none.

    Raises:
        CommandError: there is no database, it cannot be reached, or does not have the tables of this version.
    """
    if url := os.environ.get("UNDERPAINT_DATABASE_URL"):
        return work(url)
    data = DataDir(data_dir)
    if not create and not data.exists:
        raise CommandError(
            f"There is no database in {data.path}. Name the folder of `underpaint up` with --data-dir or "
            "UNDERPAINT_DATA_DIR, or a database with UNDERPAINT_DATABASE_URL. `underpaint up` makes one."
        )
    postgres = Postgres(data.postgres, lambda _: None)
    try:
        lock = data.lock()
    except CommandError:
        if not _answers(postgres.url):
            raise
        return work(postgres.url)
    with lock:
        return asyncio.run(_started(data, postgres, work))


def _transaction(url: str, work: Callable[[Session], T]) -> T:
    engine = sync_engine(url, pool_size=1)
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            return work(session)
    except OperationalError as error:
        raise CommandError(f"The database cannot be reached: {str(error.orig).strip()}") from error
    except ProgrammingError as error:
        raise CommandError(
            "The database does not have the tables of this version. Bring it up to date with `underpaint migrate`."
        ) from error
    finally:
        engine.dispose()


async def _started(data: DataDir, postgres: Postgres, work: Callable[[str], T]) -> T:
    data.record.stop_all(lambda _: None)  # processes that a killed `up` has left running
    await postgres.create()
    server = Child(postgres.spec(), data.logs / "postgres.log", lambda *_: None)
    await server.start()
    try:
        if server.recorded:
            data.record.write("", [server.recorded])
        async with asyncio.timeout(PATIENCE):
            await postgres.wait()
        await asyncio.to_thread(migrate, postgres.url)
        return await asyncio.to_thread(work, postgres.url)
    except TimeoutError as error:
        raise CommandError(f"The database did not start. {server.last_output()}") from error
    finally:
        await server.stop()
        data.record.write("", [])
        postgres.clean()


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5):
            return True
    except psycopg.OperationalError:
        return False
