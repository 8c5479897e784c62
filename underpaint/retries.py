"""When a call is tried again, and when its error is raised instead.

No library for retries (tenacity, stamina) is used. Such a library sends the call itself, with one interface for
synchronous and another for asynchronous code, while `operations` is written once for both. It would save a few lines of
exponential backoff; which errors are retried, `Retry-After` and the patience of a reconnecting stream would stay ours.
"""

import random
import time
from http import HTTPStatus

from underpaint.errors import Problem, UnexpectedAnswer, Unreachable

FIRST_DELAY = 0.25  # s, at most, before the second attempt; the limit doubles with each further attempt
LONGEST_DELAY = 4.0  # s
UNAVAILABLE = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


class Retries:
    """The attempts at one thing, which may go on for ``patience`` seconds after the last success."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.succeeded()

    def succeeded(self) -> None:
        """Starts the patience anew."""
        self._deadline = time.monotonic() + self._patience
        self._failures = 0

    def exclude(self, seconds: float) -> None:
        """Does not count these past seconds, during which a connection was open."""
        self._deadline += seconds

    def delay(
        self, error: Problem | UnexpectedAnswer | Unreachable, *, repeatable: bool = True, least: float = 0
    ) -> float:
        """The seconds to wait before the next attempt: ``least``, or the server's ``Retry-After``, or more.

        Raises:
            Problem, UnexpectedAnswer, Unreachable: the error itself, if another attempt cannot help, could do something
                twice (not ``repeatable``), or would come too late.
        """
        if not _is_temporary(error, repeatable):
            raise error
        backoff = random.uniform(0.5, 1) * min(FIRST_DELAY * 2**self._failures, LONGEST_DELAY)
        self._failures += 1
        retry_after = error.retry_after if isinstance(error, Problem) else None
        seconds = max(backoff, retry_after or 0, least)
        if time.monotonic() + seconds > self._deadline:
            raise error
        return seconds


def _is_temporary(error: Exception, repeatable: bool) -> bool:
    if isinstance(error, Unreachable):
        return repeatable or not error.sent
    if not isinstance(error, Problem):
        return False
    return error.status == HTTPStatus.TOO_MANY_REQUESTS or (repeatable and error.status in UNAVAILABLE)
