"""The asynchronous client, for asyncio and trio."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar, Unpack
from uuid import uuid4

import anyio
import httpx
from httpx_sse import EventSource

from contract.fields import Request
from contract.words import Format
from underpaint import calls, operations
from underpaint.calls import AnyJob, AnyPicture, Call
from underpaint.connection import PATIENCE, TIMEOUT, options
from underpaint.documents import (
    Event,
    Health,
    Iterate,
    Model,
    Picture,
    Readiness,
)
from underpaint.jobs import Job, JobPage
from underpaint.operations import Operation, Outcome, Send, Sleep
from underpaint.tail import EventTail

T = TypeVar("T")


class AsyncUnderpaint:
    """A client of one server. Several tasks may share it.

    Args:
        server: the URL of the server; by default ``UNDERPAINT_SERVER`` or http://127.0.0.1:8000.
        key: an API key; by default ``UNDERPAINT_KEY``, if that is set.
        patience: the seconds for which a call is retried while the server is away or busy; 0: never. A call that could
            do something twice is retried only if the server cannot have acted on it.

    Raises:
        BadAddress, BadKey: ``server`` is not the URL of a server; ``key`` cannot be a key.

    The methods raise ``UnderpaintError``s: a ``Problem`` if the server refuses, ``Unreachable`` if it does not answer.
    """

    def __init__(self, server: str | None = None, key: str | None = None, *, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._http = httpx.AsyncClient(**options(server, key))

    @classmethod
    def over(cls, transport: httpx.AsyncBaseTransport, server: str, headers: Mapping[str, str]) -> Self:
        """A client that reaches its server by a transport of httpx, such as an app in this process. It takes nothing
        from the environment, and does not retry."""
        made = cls.__new__(cls)
        made.patience = 0.0
        made._http = httpx.AsyncClient(transport=transport, base_url=server, headers=headers, timeout=TIMEOUT)
        return made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def generate(
        self, prompt: str, *, format: Format = "png", timeout: float | None = None, **request: Unpack[Request]
    ) -> list[Picture]:
        """Submits a job, waits for it, and returns its final pictures.

        Raises:
            JobFailed, JobCanceled: the job failed, or was canceled.
            TimedOut: it had not ended after ``timeout`` seconds. It goes on.
        """
        return await self._run(operations.generate(prompt, request, str(uuid4()), format, self.patience, timeout))

    async def submit(self, prompt: str, *, idempotency_key: str | None = None, **request: Unpack[Request]) -> Job:
        """Submits a job. Submissions with the same key make one job, whether the client or the caller repeats them.
        Pictures that are no text are uploaded first.

        Raises:
            OSError: the file of a picture cannot be read.
        """
        return await self._run(operations.submit(prompt, request, idempotency_key or str(uuid4()), self.patience))

    async def upload(self, picture: AnyPicture) -> str:
        """Uploads a picture: the path of a file, its bytes, or an image of Pillow. Returns the id that ``image`` and
        ``mask`` of a request take.

        Raises:
            OSError: the file cannot be read.
        """
        return await self._call(calls.upload(picture))

    async def job(self, job: AnyJob, *, wait: float = 0) -> Job:
        """The current state of a job. With a ``Job`` and ``wait`` it returns when the job differs from the given one,
        or after ``wait`` seconds (at most 60)."""
        return await self._call(calls.job(job, wait))

    async def wait(self, job: AnyJob, *, timeout: float | None = None) -> Job:
        """Waits until a job has ended, in any state: see ``Job.raise_for_state``.

        Raises:
            TimedOut: it had not ended after ``timeout`` seconds.
        """
        return await self._run(operations.wait(job, self.patience, timeout))

    async def jobs(self, *, state: str | Iterable[str] = (), model: str | None = None) -> AsyncIterator[Job]:
        """All jobs, newest first. Pages are fetched as they are needed."""
        states = [state] if isinstance(state, str) else list(state)
        page = await self.page(limit=calls.LARGEST_PAGE, state=states, model=model)
        while True:
            for job in page.jobs:
                yield job
            if page.next_cursor is None:
                return
            page = await self.page(limit=calls.LARGEST_PAGE, cursor=page.next_cursor, state=states, model=model)

    async def page(
        self, *, limit: int = 20, cursor: str | None = None, state: str | Iterable[str] = (), model: str | None = None
    ) -> JobPage:
        """Up to 100 jobs, newest first. ``cursor`` is the ``next_cursor`` of the page before."""
        return await self._call(calls.page(limit, cursor, state, model))

    async def iterates(self, job: AnyJob) -> list[Iterate]:
        """The figures of all saved iterates, by image and number."""
        return await self._call(calls.iterates(job))

    async def picture(
        self, job: AnyJob, image: int = 0, iterate: int | None = None, *, format: Format = "png", wait: float = 0
    ) -> Picture:
        """The picture of an iterate, by default of the newest. With ``wait`` it waits up to so many seconds (at most
        60) for the picture.

        Raises:
            NotFound: there is no such picture, or there was none in time.
        """
        return await self._call(calls.picture(job, image, iterate, format, wait))

    async def events(self, job: AnyJob, *, after: int = 0) -> AsyncGenerator[Event]:
        """The events of a job after number ``after``: first the past ones, then each as it happens, until the job has
        ended. If the connection breaks, the stream resumes where it was."""
        tail = EventTail(job, after, self.patience)
        while not tail.ended:
            broken = None
            try:
                async with self._http.stream("GET", tail.path, headers=tail.headers) as response:
                    if response.status_code != HTTPStatus.OK:
                        await response.aread()
                    if tail.opened(response):
                        async with aclosing(EventSource(response).aiter_sse()) as messages:
                            async for message in messages:
                                if event := tail.received(message):
                                    yield event
            except httpx.TransportError as error:
                broken = error
            await anyio.sleep(tail.closed(broken))

    async def cancel(self, job: AnyJob) -> Job:
        """Stops a job; a running one stops within a round. A job that has ended does not change."""
        return await self._call(calls.cancel(job))

    async def accept(self, job: AnyJob) -> Job:
        """Ends a running job. Its newest iterates become its final pictures."""
        return await self._call(calls.accept(job))

    async def refine(self, job: AnyJob, *, tolerance: float | None = None, max_iterations: int | None = None) -> Job:
        """Continues a succeeded job from its last checkpoint, by default to the tolerance of its request."""
        return await self._call(calls.refine(job, tolerance, max_iterations))

    async def delete(self, job: AnyJob) -> None:
        """Deletes a job that has ended, with its pictures."""
        await self._call(calls.delete(job))

    async def models(self) -> list[Model]:
        """The available models, the default first."""
        return await self._call(calls.models())

    async def health(self) -> Health:
        """The status and version of the server."""
        return await self._call(calls.health())

    async def ready(self) -> Readiness:
        """The checks of whether the server can accept and run jobs.

        Raises:
            ServerFault: it cannot. ``detail`` says what to do.
        """
        return await self._call(calls.ready())

    async def _call(self, call: Call[T]) -> T:
        return await self._run(operations.send(call, self.patience))

    async def _run(self, operation: Operation[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = operation.send(outcome)
            except StopIteration as end:
                return end.value
            match step:
                case Sleep(seconds):
                    await anyio.sleep(seconds)
                    outcome = None
                case Send(call):
                    try:
                        outcome = await self._http.send(call.request(self._http), follow_redirects=call.redirected)
                    except httpx.TransportError as error:
                        outcome = error
