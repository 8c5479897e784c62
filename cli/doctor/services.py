"""Checks of what runs: database, broker, workers, beat, API."""

from collections.abc import Collection, Iterator
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import redis
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

import migrations
from cli.doctor.findings import Finding, ok, problem, skipped
from cli.errors import CommandError
from cli.up import address
from store import workers
from store.database import sync_engine
from store.pictures import PicturesUnavailable
from store.redis_clients import sync_redis
from store.settings import PictureSettings, is_loopback
from underpaint import BadKey, Problem, Unauthorized, Underpaint, UnderpaintError

START = "Start everything with `underpaint up`"
IDLE = 60.0  # s without a run of the janitor, which runs every few seconds, after which beat has a problem


def database(url: str | None) -> Finding:
    """Checks that it answers, and has the tables of this version."""
    if url is None:
        return skipped("database", "no UNDERPAINT_DATABASE_URL is set, and `underpaint up` does not run")
    try:
        engine = sync_engine(url, pool_size=1)
        try:
            with engine.connect() as connection:
                postgres = connection.execute(text("show server_version")).scalar_one()
            standing = migrations.standing(url)
        finally:
            engine.dispose()
    except (SQLAlchemyError, ArgumentError, ValueError) as error:
        reason = str(getattr(error, "orig", None) or "the URL cannot be read").strip().partition("\n")[0]
        return problem(
            "database",
            f"It cannot be reached: {reason}",
            "Check that PostgreSQL runs, and UNDERPAINT_DATABASE_URL.",
        )
    if standing == "behind":
        return problem("database", "It does not have the tables of this version.", "Run `underpaint migrate`.")
    if standing == "ahead":
        return problem("database", "A newer version of Underpaint has migrated it.", "Install that version here too.")
    return ok("database", f"PostgreSQL {postgres.split()[0]}, with the tables of this version")


def pictures(url: str | None) -> Finding:
    """Checks that the bucket can be used, if pictures are kept in one."""
    try:
        settings = PictureSettings()
    except ValidationError:
        return skipped("pictures", "not checked: the settings are invalid")
    if settings.s3_bucket is None:
        return ok("pictures", "kept in the database")
    from store.pictures.s3 import S3Pictures

    store = S3Pictures.from_settings(settings, url or "postgresql://")
    name = f"{settings.s3_bucket} at {settings.s3_endpoint or 'AWS'}"
    try:
        store.check()
        if url is not None and not store.owned():
            return problem(
                "pictures",
                f"The bucket {name} belongs to another database, so that nothing is deleted from it.",
                "If it replaces that one, run `underpaint pictures adopt`. Else use another bucket or prefix.",
            )
    except PicturesUnavailable as error:
        return problem(
            "pictures", f"The bucket {name} cannot be used: {error}", "Check UNDERPAINT_S3_*, and that the store runs."
        )
    except SQLAlchemyError:
        return skipped("pictures", "whose they are is not checked, without the database")
    finally:
        store.close()
    where = "there" if settings.pictures == "s3" else "in the database; older ones may be there"
    return ok("pictures", f"bucket {name}; new ones are kept {where}")


def broker(url: str | None, models: Collection[str]) -> Iterator[Finding]:
    """Checks that it answers, and that workers of this version with these models, and beat, are connected."""
    if url is None:
        yield skipped("broker", "no UNDERPAINT_REDIS_URL is set, and `underpaint up` does not run")
        yield skipped("workers", "only the broker knows them")
        yield skipped("beat", "only the broker knows it")
        return
    try:
        with sync_redis(url) as client:
            info: Any = client.info("server")
            alive, beats = workers.alive(client), workers.alive(client, "beat")
    except (redis.RedisError, OSError, ValueError) as error:
        yield problem(
            "broker", f"It cannot be reached: {error}", "Check that Redis or Valkey runs, and UNDERPAINT_REDIS_URL."
        )
        yield skipped("workers", "only the broker knows them")
        yield skipped("beat", "only the broker knows it")
        return
    name, number = ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", info["redis_version"])
    yield ok("broker", f"{name} {number}")
    if not alive:
        yield problem("workers", "There is none: jobs wait.", f"Start one with `underpaint worker`. {START}.")
    for worker, status in alive.items():
        yield _worker(worker, status, models)
    if not beats:
        yield problem(
            "beat",
            "There is none: jobs of crashed workers wait, and so do webhooks.",
            f"Start one with `underpaint beat`. {START}.",
        )
    for beat, status in beats.items():
        yield _beat(beat, status)


def api(server: str, key: str | None) -> Iterator[Finding]:
    """Checks that it answers, is of this version, accepts the key, and is ready."""
    try:
        with Underpaint(server, key, patience=0) as client:
            theirs, ours = client.health().version, version("underpaint")
            client.page(limit=1)  # needs a key, unlike the others
            client.ready()
    except (BadKey, Unauthorized) as error:
        yield problem("api", f"{server}: {error}", "Name a key with --key or UNDERPAINT_KEY.")
    except Problem as error:
        yield problem("api", f"{server}: {error.detail}", "See the other checks, and the log of the API.")
    except UnderpaintError as error:
        yield problem("api", str(error), f"{START}, or name another server with --server or UNDERPAINT_SERVER.")
        yield from _port(server)
    else:
        if theirs == ours:
            yield ok("api", f"{server} is ready, version {theirs}")
        else:
            yield problem("api", f"{server} is version {theirs}, this command {ours}.", "Install one version on both.")


def _worker(name: str, status: dict[str, Any], models: Collection[str]) -> Finding:
    ours, theirs = version("underpaint"), status.get("version", "unknown")
    if theirs != ours:
        return problem("workers", f"{name} is version {theirs}, this command {ours}.", "Restart it with this version.")
    if missing := set(models) - set(status.get("models", ())):
        return problem(
            "workers",
            f"{name} does not know {', '.join(sorted(missing))}.",
            "Give all processes the same UNDERPAINT_CATALOG, and restart them after a change.",
        )
    return ok("workers", f"{name}: {status.get('jobs', 0)} of {status.get('concurrency', 0)} jobs, version {theirs}")


def _beat(name: str, status: dict[str, Any]) -> Finding:
    ours, theirs, ago = version("underpaint"), status.get("version", "unknown"), status.get("swept_seconds_ago")
    if theirs != ours:
        return problem("beat", f"{name} is version {theirs}, this command {ours}.", "Restart it with this version.")
    if ago is None or ago > IDLE:
        since = "since it started" if ago is None else f"for {ago:.0f} s"
        return problem("beat", f"{name} could not do its work {since}.", "See its log, and check the database.")
    return ok("beat", f"{name}: swept {ago:.0f} s ago, version {theirs}")


def _port(server: str) -> Iterator[Finding]:
    """Checks whether a server could listen on the address."""
    url = urlsplit(server)
    if url.hostname is None or not is_loopback(url.hostname):
        return
    try:
        address.listen(url.hostname, url.port or 80).close()
    except CommandError as error:
        yield problem("port", str(error), "End that program, or choose another port.")
    else:
        yield ok("port", f"{url.port or 80} is free for a server")
