"""The data directory of a server."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory that does not exist yet, below a folder that any user can traverse."""
    with tempfile.TemporaryDirectory(prefix="underpaint-test-", dir="/tmp") as name:
        yield Path(name) / "data"
