"""Waiting for a condition that other threads and processes make true."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

# s; nothing takes longer unless it is broken, even if three suites run on two cores. Mutants break much and wait less.
PATIENCE = float(os.environ.get("PATIENCE", "300"))
PAUSE = 0.02  # s

T = TypeVar("T")


def until(look: Callable[[], T | None], *, pause: float = PAUSE, why: Callable[[], object] = lambda: "") -> T:
    """Call ``look`` until it returns something true, and return that. After ``PATIENCE`` seconds the test fails with
    the message that ``why`` returns."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, why()
        time.sleep(pause)
    return found
