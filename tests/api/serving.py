"""The API as a process, over real HTTP."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.until import PATIENCE, until


def environment(**settings: str) -> dict[str, str]:
    """The environment of this process with these settings of Underpaint and no others."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}, **settings}


@contextmanager
def serving(log: Path, **settings: str) -> Iterator[str]:
    """Serve the API with these settings. Yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
        fd = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--fd", str(fd)],
            env=environment(**settings),
            pass_fds=[fd],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        address = "http://{}:{}".format(*listener.getsockname())
        try:
            _wait(address, process, log)
            yield address
        finally:
            process.terminate()
            process.wait(PATIENCE)
    assert process.returncode == -signal.SIGTERM, log.read_text()  # uvicorn ends in order, then by the signal


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def started() -> bool:
        assert process.poll() is None, f"the API did not start:\n{log.read_text()}"
        try:
            return httpx.get(f"{address}/healthz", timeout=1, trust_env=False).is_success
        except httpx.TransportError:
            return False

    until(started, why=lambda: f"the API did not start:\n{log.read_text()}")
