"""The operations of the client, without I/O, so that both clients share them.

An operation is a generator. It yields requests (`Send`, `Sleep`), receives their outcomes, and returns the result.
`Underpaint` and `AsyncUnderpaint` each have a loop that does it. The auth flows of httpx work in the same way.
"""

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from contract.words import Format
from underpaint import calls
from underpaint.calls import AnyJob, Call
from underpaint.documents import Picture
from underpaint.errors import UnexpectedAnswer, problem_from, unreachable
from underpaint.jobs import Job, TimedOut
from underpaint.retries import Retries

T = TypeVar("T")

LONGEST_HOLD = (
    20  # s for which one request waits for a job to change; proxies close connections that are silent for longer
)
PICTURES = ("image", "mask")


@dataclass(frozen=True)
class Send:
    """Send this call. The outcome is the response, read to its end, or the TransportError."""

    call: Call[Any]


@dataclass(frozen=True)
class Sleep:
    """Wait. There is no outcome."""

    seconds: float


Outcome = httpx.Response | httpx.TransportError | None
Operation = Generator[Send | Sleep, Outcome, T]


def send(call: Call[T], patience: float) -> Operation[T]:
    """Sends a call, and again for ``patience`` seconds if it fails in a way that may pass."""
    retries = Retries(patience)
    while True:
        outcome = yield Send(call)
        if isinstance(outcome, httpx.Response):
            if outcome.is_success or outcome.status_code == HTTPStatus.NOT_MODIFIED:
                return _read(call, outcome)
            error = problem_from(outcome)
        else:
            assert outcome
            error = unreachable(outcome)
        yield Sleep(retries.delay(error, repeatable=call.repeatable))


def submit(prompt: str, request: Mapping[str, Any], key: str, patience: float) -> Operation[Job]:
    """Uploads the pictures of a request that are none on the server yet, and submits a job."""
    made = dict(request)
    for name in PICTURES:
        if made.get(name) is not None:
            made[name] = yield from _known(made[name], patience)
    if made.get("references"):
        known: list[str] = []
        for each in made["references"]:
            known += [(yield from _known(each, patience))]
        made["references"] = known
    return (yield from send(calls.submit(prompt, made, key), patience))


def _known(picture: calls.AnyPicture, patience: float) -> Operation[str]:
    """A picture as the server knows it."""
    return picture if isinstance(picture, str) else (yield from send(calls.upload(picture), patience))


def wait(job: AnyJob, patience: float, timeout: float | None) -> Operation[Job]:
    """Waits until a job has ended.

    Raises:
        TimedOut: it had not ended after ``timeout`` seconds.
    """
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    current = job if isinstance(job, Job) else (yield from send(calls.job(job), patience))
    while not current.ended:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"Job {current.id} had not ended after {timeout:g} s. It goes on.", current)
        current = yield from send(calls.job(current, wait=max(1, min(LONGEST_HOLD, left))), patience)
    return current


def generate(
    prompt: str, request: Mapping[str, Any], key: str, format: Format, patience: float, timeout: float | None
) -> Operation[list[Picture]]:
    """Submits a job, waits for it and fetches its final pictures."""
    job = yield from submit(prompt, request, key, patience)
    job = yield from wait(job, patience, timeout)
    pictures: list[Picture] = []
    for image in job.raise_for_state().images:
        pictures += [(yield from send(calls.picture(job, image.number, None, format), patience))]
    return pictures


def _read(call: Call[T], response: httpx.Response) -> T:
    try:
        return call.read(response)
    except (ValueError, LookupError, TypeError) as error:
        raise UnexpectedAnswer(
            f"{call.method} {response.request.url} was not answered as an Underpaint server does: {error}"
        ) from error
