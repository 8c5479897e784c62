"""The database that a command works on: the one that the settings name, or else that of `underpaint up`."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psycopg
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from cli.errors import Explained
from cli.migrate import migrate
from cli.up.child import Child
from cli.up.datadir import DataDir
from cli.up.postgres import Postgres
from store.database import sync_engine

T = TypeVar("T")

PATIENCE = 60  # s, for the embedded server to start


def on_database(data_dir: Path, work: Callable[[Session], T]) -> T:
    """Calls ``work`` in a transaction, which is committed, and returns what it does; see ``with_database``."""
    return with_database(data_dir, lambda url: _transaction(url, work))


def with_database(data_dir: Path, work: Callable[[str], T]) -> T:
    """Calls ``work`` with the URL of a database that answers, and returns what it does.

    Where the environment names no database it is the embedded one in ``data_dir``. If `underpaint up` does not run,
    that is started for as long as it takes, and made where it is not there yet.

    Raises:
        Explained: the database cannot be reached, or has not the tables of this version.
    """
    if url := os.environ.get("UNDERPAINT_DATABASE_URL"):
        return work(url)
    data = DataDir(data_dir)
    postgres = Postgres(data.postgres, lambda _: None)
    try:
        lock = data.open()
    except Explained:
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
        raise Explained(f"The database cannot be reached: {str(error.orig).strip()}") from error
    except ProgrammingError as error:
        raise Explained(
            "The database has not the tables of this version. Bring it up to date with `underpaint migrate`."
        ) from error
    finally:
        engine.dispose()


async def _started(data: DataDir, postgres: Postgres, work: Callable[[str], T]) -> T:
    data.record.stop_all(lambda _: None)  # what an `up` that was killed has left
    await postgres.create()
    server = Child(postgres.plan(), data.logs / "postgres.log", lambda *_: None)
    await server.start()
    try:
        if server.recorded:
            data.record.write("", [server.recorded])
        async with asyncio.timeout(PATIENCE):
            await postgres.wait()
        await asyncio.to_thread(migrate, postgres.url)
        return await asyncio.to_thread(work, postgres.url)
    except TimeoutError as error:
        raise Explained(f"The database did not start. {server.last_words()}") from error
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
