"""Waiting for what other threads and processes do."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 300.0  # s; nothing takes this long unless it is broken, even with three suites on two cores
PAUSE = 0.02  # s

T = TypeVar("T")


def until(look: Callable[[], T | None], *, pause: float = PAUSE, why: Callable[[], object] = lambda: "") -> T:
    """What ``look`` returns, as soon as it is true. After ``PATIENCE`` the test fails with what ``why`` returns."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, why()
        time.sleep(pause)
    return found
