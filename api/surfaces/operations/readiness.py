"""Checks of what the server needs. Each request makes them anew."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import redis
from sqlalchemy import false, select
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from api.http.body import Sent
from api.services import Services
from store import workers
from store.pictures import PicturesUnavailable
from store.tables import Base

TIMEOUT = 3.0  # s for each check

log = logging.getLogger(__name__)


class Check(Sent):
    ok: bool
    detail: str
    """The result and, if it is not good, what to do."""


class Checks(Sent):
    database: Check
    broker: Check
    workers: Check
    pictures: Check
    """Whether pictures can be stored and read."""
    beat: Check
    """Whether the janitor runs. Jobs are accepted and run without it, so that the server is still ready. But the jobs
    of a worker that dies, and webhooks, wait until it is back."""


async def check(services: Services) -> Checks:
    """Make all checks, at the same time."""
    database, broker, there, pictures, beat = await asyncio.gather(
        _timed(_database, services, "The database cannot be reached: see that PostgreSQL runs."),
        _timed(_broker, services, "The broker cannot be reached: see that Redis or Valkey runs."),
        _timed(_workers, services, "Workers cannot be seen while the broker cannot be reached."),
        _timed(_pictures, services, "The object store cannot be reached: see that it runs."),
        _timed(_beat, services, "Beat cannot be seen while the broker cannot be reached."),
    )
    return Checks(database=database, broker=broker, workers=there, pictures=pictures, beat=beat)


async def _timed(probe: Callable[[Services], Awaitable[Check]], services: Services, gone: str) -> Check:
    try:
        async with asyncio.timeout(TIMEOUT):
            return await probe(services)
    except (SQLAlchemyError, redis.RedisError, OSError) as error:  # a TimeoutError is an OSError
        log.warning("%s %r", gone, error)
        return Check(ok=False, detail=gone)


async def _database(services: Services) -> Check:
    """Reads every column that this version knows: a database that a newer version has migrated is fine, too."""
    try:
        async with services.reading.begin() as session:
            for table in Base.metadata.sorted_tables:
                await session.execute(select(table).where(false()))
    except ProgrammingError as error:
        log.warning("the database has not the schema of this version: %s", error)
        return Check(ok=False, detail="The database has not the schema of this version: run `underpaint migrate`.")
    if services.disk.full:
        return Check(ok=False, detail="The disk of the database was full just now: make room on it.")
    return Check(ok=True, detail="The database answers and has the schema.")


async def _broker(services: Services) -> Check:
    await services.redis.ping()
    return Check(ok=True, detail="The broker answers.")


async def _workers(services: Services) -> Check:
    there = await workers.alive_async(services.redis)
    if not there:
        return Check(ok=False, detail="No worker is there: start one with `underpaint worker`.")
    return Check(ok=True, detail=f"Workers: {', '.join(there)}.")


async def _pictures(services: Services) -> Check:
    try:
        place = await asyncio.to_thread(services.pictures.check)
    except PicturesUnavailable as error:
        log.warning("the object store cannot be used: %s", error)
        return Check(ok=False, detail="The object store cannot be used: the log of the API says why.")
    return Check(ok=True, detail=f"Pictures are kept in {place or 'the database'}.")


async def _beat(services: Services) -> Check:
    there = await workers.alive_async(services.redis, "beat")
    if not there:
        return Check(ok=False, detail="No beat is there, so nobody rescues jobs: start one with `underpaint beat`.")
    return Check(ok=True, detail=f"Beat: {', '.join(there)}.")
