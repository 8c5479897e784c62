"""The API as a process of its own, over real HTTP."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


def environment(**settings: str) -> dict[str, str]:
    """This process's environment, without any settings of Underpaint but these."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}, **settings}


@contextmanager
def serving(log: Path, **settings: str) -> Iterator[str]:
    """Serves with these settings; gives the address."""
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
            process.wait(timeout=20)
    assert process.returncode == -signal.SIGTERM, log.read_text()  # uvicorn ends in order, then by the signal


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx.get(f"{address}/healthz", timeout=1, trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the API did not start:\n{log.read_text()}")
