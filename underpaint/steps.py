"""What the client does, as steps that something else takes: both clients take the same, each in its own way."""

import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from underpaint import calls
from underpaint.calls import AnyJob, Call
from underpaint.documents import Format, Job, Picture
from underpaint.errors import Problem, TimedOut, UnexpectedAnswer, Unreachable, refusal

T = TypeVar("T")

HOLD = 20  # s for which a job is waited for at once; proxies cut off what is silent for much longer
FIRST_PAUSE = 0.25  # s before the second try, by and large; twice as long before each further one
LONGEST_PAUSE = 4.0  # s
BUSY = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class Send:
    """Send this; the answer, read to its end, or the TransportError is what the step gives."""

    call: Call[Any]


@dataclass(frozen=True)
class Sleep:
    """Do nothing for so many seconds."""

    seconds: float


Outcome = httpx.Response | httpx.TransportError | None
Steps = Generator[Send | Sleep, Outcome, T]


class Retries:
    """When to try again, for ``patience`` seconds after the last success."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.succeeded()

    def succeeded(self) -> None:
        """All is well: the patience is as it was."""
        self._until = time.monotonic() + self._patience
        self._tries = 0

    def pause(self, error: Problem | UnexpectedAnswer | Unreachable, safe: bool = True, least: float = 0) -> float:
        """How many seconds to wait, ``least`` or more, before it is tried again.

        Raises:
            Problem, UnexpectedAnswer, Unreachable: the error, where another try does not help, could do something
                twice (not ``safe``), or would come too late.
        """
        if not _may_help(error, safe):
            raise error
        pause = random.uniform(0.5, 1) * min(FIRST_PAUSE * 2**self._tries, LONGEST_PAUSE)
        self._tries += 1
        asked = error.retry_after if isinstance(error, Problem) else None
        seconds = max(pause, asked or 0, least)
        if time.monotonic() + seconds > self._until:
            raise error
        return seconds


def _may_help(error: Exception, safe: bool) -> bool:
    if isinstance(error, Unreachable):
        return safe or not error.sent
    if not isinstance(error, Problem):
        return False
    return error.status == HTTPStatus.TOO_MANY_REQUESTS or (safe and error.status in BUSY)


def no_answer(error: httpx.TransportError) -> Unreachable:
    """What came instead of an answer."""
    url = error.request.url
    server = f"{url.scheme}://{url.netloc.decode()}"
    said = Unreachable(
        f"No server answers at {server} ({error or type(error).__name__}).", not isinstance(error, NOT_SENT)
    )
    said.__cause__ = error
    return said


def perform(call: Call[T], patience: float) -> Steps[T]:
    """One call, tried again for ``patience`` seconds where that helps and is safe."""
    retries = Retries(patience)
    while True:
        outcome = yield Send(call)
        if isinstance(outcome, httpx.Response):
            if outcome.is_success or outcome.status_code == HTTPStatus.NOT_MODIFIED:
                return _read(call, outcome)
            error = refusal(outcome)
        else:
            assert outcome
            error = no_answer(outcome)
        yield Sleep(retries.pause(error, call.safe))


def until_ended(job: AnyJob, patience: float, timeout: float | None) -> Steps[Job]:
    """The job when it has ended.

    Raises:
        TimedOut: it had not after ``timeout`` seconds.
    """
    until = float("inf") if timeout is None else time.monotonic() + timeout
    found = job if isinstance(job, Job) else (yield from perform(calls.job(job), patience))
    while not found.ended:
        left = until - time.monotonic()
        if left <= 0:
            raise TimedOut(f"Job {found.id} had not ended after {timeout:g} s. It goes on.", found)
        found = yield from perform(calls.job(found, wait=max(1, min(HOLD, left))), patience)
    return found


def generated(
    prompt: str, request: Mapping[str, Any], key: str, form: Format, patience: float, timeout: float | None
) -> Steps[list[Picture]]:
    """The finished pictures of a new job."""
    job = yield from perform(calls.submit(prompt, request, key), patience)
    job = yield from until_ended(job, patience, timeout)
    pictures: list[Picture] = []
    for image in job.raise_for_state().images:
        pictures += [(yield from perform(calls.picture(job, image.number, None, form), patience))]
    return pictures


def _read(call: Call[T], response: httpx.Response) -> T:
    try:
        return call.read(response)
    except (ValueError, LookupError, TypeError) as error:
        raise UnexpectedAnswer(
            f"{call.method} {response.request.url} was not answered as an Underpaint server does: {error}"
        ) from error
