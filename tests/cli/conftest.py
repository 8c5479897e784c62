"""A running `underpaint up`, which several tests share: each start takes a while."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Running, Up, processes_of


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory that is not there yet, below a folder that any user may pass through."""
    with tempfile.TemporaryDirectory(prefix="underpaint-test-", dir="/tmp") as name:
        yield Path(name) / "data"


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """It must also stop as it should: by Ctrl-C, with exit code 0, and without leaving a process."""
    with tempfile.TemporaryDirectory(prefix="underpaint-test-", dir="/tmp") as name:
        folder = Path(name) / "data"
        with Up(folder) as up:
            yield Running(folder, up, up.ready())
            assert up.stop(signal.SIGINT) == 0
            assert processes_of(folder) == []


@pytest.fixture
def server(running: Running) -> str:
    """The address of a running server."""
    return running.url
