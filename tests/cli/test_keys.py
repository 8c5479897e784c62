"""`underpaint keys`, and the refusal to serve others without one."""

import asyncio
import json
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text

from cli.up.postgres import Postgres
from store import keys
from tests.cli.running import COMMAND, Running, environment, run


@pytest.fixture
def stores(postgres_url: str, redis_url: str, database: Engine) -> dict[str, str]:
    """The settings that name an empty database."""
    return {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}


def succeed(*arguments: str, **settings: str) -> str:
    ran = run(*arguments, **settings)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def refuse(*arguments: str, **settings: str) -> str:
    ran = run(*arguments, **settings)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "Traceback" not in ran.stderr
    return ran.stderr


def test_a_key_from_creation_to_revocation(stores: dict[str, str], database: Engine) -> None:
    assert "no keys" in succeed("keys", "list", **stores)
    limits = ("--expires", "30", "--rate", "60", "--max-running", "2", "--max-queued", "5")
    key = succeed("keys", "create", "ann", "--scope", "read", *limits, **stores).rstrip("\n")
    assert key.startswith("up_")
    assert len(key) == len("up_") + 43  # 32 bytes in base64
    with database.connect() as connection:
        stored = connection.execute(text("select * from api_keys")).mappings().one()
        dumped = connection.execute(text("select api_keys::text from api_keys")).scalar_one()
        assert stored["hash"] == keys.hashed(key)
        assert key not in dumped
        assert key[11:] not in dumped
        assert (stored["expires_at"] - stored["created_at"]).days == 30

    (listed,) = json.loads(succeed("keys", "list", "--json", **stores))
    assert (listed["name"], listed["state"], listed["scopes"]) == ("ann", "works", ["read"])
    assert (listed["requests_per_minute"], listed["max_running"], listed["max_queued"]) == (60, 2, 5)
    assert key.startswith(listed["prefix"])

    header, row = succeed("keys", "list", **stores).splitlines()
    assert header.split()[:4] == ["NAME", "KEY", "STATE", "SCOPES"]
    assert row.split()[:4] == ["ann", f"{key[:11]}…", "works", "read"]
    assert key not in row

    other = json.loads(succeed("keys", "rotate", "ann", "--json", **stores))
    assert other["key"] != key
    assert json.loads(succeed("keys", "list", "--json", **stores))[0]["prefix"] == other["key"][:11]

    assert "ann" in succeed("keys", "revoke", "ann", **stores)
    assert json.loads(succeed("keys", "list", "--json", **stores))[0]["state"] == "revoked"
    for again in (("revoke", "ann"), ("rotate", "ann")):
        assert "was revoked before" in refuse("keys", *again, **stores)
    assert "rotate ann" in refuse("keys", "create", "ann", **stores)
    assert "no key named 'bob'" in refuse("keys", "revoke", "bob", **stores)


@pytest.mark.parametrize("wrong", [["a b"], ["a" * 65], ["a", "--scope", "all"], ["a", "--rate", "0"]])
def test_wrong_usage(wrong: list[str]) -> None:
    assert run("keys", "create", *wrong).returncode == 2


def test_without_a_database(tmp_path: Path) -> None:
    nowhere = "postgresql://u:secret@127.0.0.1:1/u"
    message = refuse("keys", "list", UNDERPAINT_DATABASE_URL=nowhere)
    assert "cannot be reached" in message
    assert "secret" not in message


def test_it_finds_the_database_of_up(running: Running) -> None:
    """Made beside the running server, which would ask everybody else for a key from then on: so it is only listed."""
    assert "no keys" in succeed("keys", "list", "--data-dir", str(running.folder))


def test_it_starts_the_database_of_an_up_that_does_not_run(folder: Path) -> None:
    folder.mkdir()
    asyncio.run(Postgres(folder / "postgres", lambda line: None).create())
    key = succeed("keys", "create", "ann", "--data-dir", str(folder))
    assert json.loads(succeed("keys", "list", "--json", "--data-dir", str(folder)))[0]["prefix"] == key[:11]
    assert not (folder / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize("where", [{}, {"UNDERPAINT_PUBLISHED": "0.0.0.0:8000"}, {"UNDERPAINT_PUBLISHED": "8000"}])
def test_without_keys_nobody_else_is_served(stores: dict[str, str], where: dict[str, str]) -> None:
    message = refuse("api", "--host", "0.0.0.0", "--port", "0", **stores, **where)
    assert "underpaint keys create" in message
    assert "UNDERPAINT_ALLOW_OPEN" in message


def serves(*arguments: str, **settings: str) -> httpx.Response:
    """What a server that listens on everything answers to a request for jobs."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        command = [*COMMAND, "api", "--host", "0.0.0.0", "--port", str(port), "--fd", str(fd)]
        with subprocess.Popen([*command, *arguments], env=environment(**settings), pass_fds=[fd]) as process:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/v1/jobs", timeout=None, trust_env=False)
            finally:
                process.terminate()


def test_who_may_be_served_without_keys(stores: dict[str, str]) -> None:
    assert serves(**stores, UNDERPAINT_ALLOW_OPEN="true").status_code == 200
    # As docker-compose.yml has it: the container listens on everything, and is published on this machine alone.
    assert serves(**stores, UNDERPAINT_PUBLISHED="127.0.0.1:8000").status_code == 200
    assert serves(**stores, UNDERPAINT_PUBLISHED="[::1]:8000").status_code == 200


def test_with_a_key_it_serves_everybody_who_has_one(stores: dict[str, str], database: Engine) -> None:
    succeed("keys", "create", "ann", **stores)
    assert serves(**stores).status_code == 401


def test_a_server_that_finds_no_key_later_serves_nobody(stores: dict[str, str], database: Engine) -> None:
    """The database was away when it started: it cannot have asked then."""
    app = {**stores, "UNDERPAINT_HOST": "0.0.0.0"}
    code = (
        "import asyncio, httpx; from api.app import create_app\n"
        "async def main():\n"
        "    app = create_app()\n"
        "    async with app.router.lifespan_context(app) as state:\n"
        "        async def served(scope, receive, send):\n"
        "            await app({**scope, 'state': dict(state)}, receive, send)\n"
        "        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url='http://x') as client:\n"
        "            print((await client.get('/v1/jobs')).text)\n"
        "asyncio.run(main())"
    )
    ran = subprocess.run([COMMAND[0], "-c", code], env=environment(**app), capture_output=True, text=True, check=True)
    assert "underpaint keys create" in json.loads(ran.stdout)["detail"]
