"""The client for programs that wait."""

import time
from collections.abc import Generator, Iterable, Iterator
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar, Unpack
from uuid import uuid4

import httpx

from underpaint import calls, steps
from underpaint.calls import AnyJob, Call
from underpaint.connection import PATIENCE, options
from underpaint.documents import (
    Event,
    Format,
    Health,
    Iterate,
    Job,
    JobPage,
    Model,
    Picture,
    Readiness,
    Request,
)
from underpaint.following import Follower
from underpaint.steps import Outcome, Send, Sleep, Steps

T = TypeVar("T")


class Underpaint:
    """A server, for one thread or several.

    Args:
        server: its address; by default ``UNDERPAINT_SERVER`` or http://127.0.0.1:8000.
        key: an API key; by default ``UNDERPAINT_KEY``, if that is set.
        patience: for how many seconds a call is tried again while the server is away or busy; 0: not at all. A call
            that could do something twice is only repeated if the server cannot have acted on it.

    Raises:
        BadAddress, BadKey: ``server`` is not an address, ``key`` not a key.

    Every method raises an ``UnderpaintError``: ``Problem`` where the server refuses, ``Unreachable`` where there is
    none.
    """

    def __init__(self, server: str | None = None, key: str | None = None, *, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._http = httpx.Client(**options(server, key))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def generate(
        self, prompt: str, *, format: Format = "png", timeout: float | None = None, **request: Unpack[Request]
    ) -> list[Picture]:
        """The finished pictures of a new job.

        Raises:
            JobFailed, JobCanceled: it came to nothing.
            TimedOut: it had not ended after ``timeout`` seconds; it goes on.
        """
        return self._take(steps.generated(prompt, request, str(uuid4()), format, self.patience, timeout))

    def submit(self, prompt: str, *, idempotency_key: str | None = None, **request: Unpack[Request]) -> Job:
        """A new job. However often it is sent with the same key, here or by the caller, it is one job."""
        return self._call(calls.submit(prompt, request, idempotency_key or str(uuid4())))

    def job(self, job: AnyJob, *, wait: float = 0) -> Job:
        """The job as it is now. Of a ``Job``, after ``wait`` seconds (at most 60) or as soon as it has changed."""
        return self._call(calls.job(job, wait))

    def wait(self, job: AnyJob, *, timeout: float | None = None) -> Job:
        """The job when it has ended, in whichever state: see ``Job.raise_for_state``.

        Raises:
            TimedOut: it had not after ``timeout`` seconds.
        """
        return self._take(steps.until_ended(job, self.patience, timeout))

    def jobs(self, *, state: str | Iterable[str] = (), model: str | None = None) -> Iterator[Job]:
        """All jobs, newest first, asked for as they are needed."""
        states = [state] if isinstance(state, str) else list(state)
        page = self.page(limit=calls.LARGEST_PAGE, state=states, model=model)
        while True:
            yield from page.jobs
            if page.next_cursor is None:
                return
            page = self.page(limit=calls.LARGEST_PAGE, cursor=page.next_cursor, state=states, model=model)

    def page(
        self, *, limit: int = 20, cursor: str | None = None, state: str | Iterable[str] = (), model: str | None = None
    ) -> JobPage:
        """Up to 100 jobs, newest first; ``cursor`` is the ``next_cursor`` of the page before."""
        return self._call(calls.page(limit, cursor, state, model))

    def iterates(self, job: AnyJob) -> list[Iterate]:
        """The figures of every iterate that was saved, by image and number."""
        return self._call(calls.iterates(job))

    def picture(
        self, job: AnyJob, image: int = 0, iterate: int | None = None, *, format: Format = "png", wait: float = 0
    ) -> Picture:
        """The picture of an iterate, by default of the newest; with ``wait``, as soon as it is there, or ``NotFound``
        after so many seconds (at most 60)."""
        return self._call(calls.picture(job, image, iterate, format, wait))

    def events(self, job: AnyJob, *, after: int = 0) -> Generator[Event]:
        """What has happened to the job since event ``after``, and then what happens, until it has ended. A stream that
        is cut off goes on where it was."""
        follower = Follower(job, after, self.patience)
        while not follower.ended:
            cut = None
            try:
                with self._http.stream("GET", follower.path, headers=follower.headers) as response:
                    if response.status_code != HTTPStatus.OK:
                        response.read()
                    for line in response.iter_lines() if follower.opened(response) else ():
                        if event := follower.line(line):
                            yield event
            except httpx.TransportError as error:
                cut = error
            time.sleep(follower.cut(cut))

    def cancel(self, job: AnyJob) -> Job:
        """Stops the job, within a round if it runs. One that has ended stays as it is."""
        return self._call(calls.cancel(job))

    def accept(self, job: AnyJob) -> Job:
        """Ends a running job with its newest iterates, which become its pictures."""
        return self._call(calls.accept(job))

    def refine(self, job: AnyJob, *, tolerance: float | None = None, max_iterations: int | None = None) -> Job:
        """Lets a finished job go on from where it ended, to a lower tolerance; by default to that of its request."""
        return self._call(calls.refine(job, tolerance, max_iterations))

    def delete(self, job: AnyJob) -> None:
        """Removes a job that has ended, with its pictures."""
        self._call(calls.delete(job))

    def models(self) -> list[Model]:
        """The models on offer, the default first."""
        return self._call(calls.models())

    def health(self) -> Health:
        """That the server is alive, and its version."""
        return self._call(calls.health())

    def ready(self) -> Readiness:
        """That jobs can be taken and run.

        Raises:
            ServerFault: they cannot; ``detail`` says what to do.
        """
        return self._call(calls.ready())

    def _call(self, call: Call[T]) -> T:
        return self._take(steps.perform(call, self.patience))

    def _take(self, todo: Steps[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = todo.send(outcome)
            except StopIteration as end:
                return end.value
            match step:
                case Sleep(seconds):
                    time.sleep(seconds)
                    outcome = None
                case Send(call):
                    try:
                        outcome = self._http.send(call.request(self._http))
                    except httpx.TransportError as error:
                        outcome = error
