"""A job as a stream for OpenAI's clients: some of its iterates, then the finished picture."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from fastapi import Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from api import problems
from api.errors import problem_of
from api.jobs import control
from api.live.tail import follow
from api.pictures.lookup import Found
from api.pictures.outcome import encoded, outcome
from api.services import Services
from api.surfaces.openai import errors, schemas
from api.surfaces.openai.attempts import Attempt
from api.surfaces.openai.partials import Partials
from api.surfaces.openai.request import Wanted
from store.tables import Event

log = logging.getLogger(__name__)


class ImageStream(EventSourceResponse):
    """The stream of a job for the request ``wanted``. A job that no other client can have joined is canceled when the
    client disconnects before the end.

    Args:
        headers: for the response.
    """

    def __init__(
        self,
        request: Request,
        services: Services,
        job: UUID,
        wanted: Wanted,
        attempt: Attempt,
        headers: dict[str, str],
    ) -> None:
        self._services, self._job, self._wanted = services, job, wanted
        self._request, self._attempt = request, attempt
        self._ended = False
        self._events = self._stream()
        super().__init__(self._events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)
        # Not reached if this process stops: that cancels this task, and the job goes on.
        if self._attempt.alone and not self._ended:
            await control.abandon(self._services, self._job)

    async def _stream(self) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(self._pictures()) as pictures:
                async for chunk in pictures:
                    yield chunk
        except Exception as error:
            problem = errors.translated(problem_of(self._request, error))
            if isinstance(problem, problems.ServerError):
                log.exception("the stream of job %s failed", self._job)
            refused = schemas.ErrorResponse(error=schemas.Error(**errors.error(problem)))
            yield format_sse_event(event="error", data_str=refused.model_dump_json())
        self._ended = True

    async def _pictures(self) -> AsyncGenerator[bytes]:
        partials = Partials(self._wanted.partials or 0)
        yield KEEPALIVE_COMMENT  # the job may wait: proxies and clients see at once that the stream lives
        async with aclosing(follow(self._services.subscriptions, self._job)) as events:
            async for event in events:
                if event is None:
                    yield KEEPALIVE_COMMENT
                elif event.kind == "state":
                    partials.planned(event.data)
                elif event.kind == "iterate" and partials.pick(event.data):
                    yield await self._partial(event, partials.sent - 1)
        completed = await self._completed()
        await self._attempt.answered(self._services, self._job)
        yield completed

    async def _partial(self, event: Event, index: int) -> bytes:
        data = event.data
        found = Found(data["iterate"], data["etag"], final=False)
        picture = schemas.PartialImage(
            type="image_edit.partial_image" if self._wanted.event == "image_edit" else "image_generation.partial_image",
            b64_json=await encoded(self._services, self._job, data["image"], found, self._wanted.form),
            created_at=int(event.created_at.timestamp()),
            output_format=self._wanted.form.name,
            size=self._wanted.size,
            partial_image_index=index,
            # Events that version 0.1 has recorded have no estimate.
            error_estimate=data.get("error_estimate"),
            **{name: data[name] for name in ("iterate", "residual", "rounds", "evaluations")},
        )
        return format_sse_event(event=picture.type, data_str=picture.model_dump_json())

    async def _completed(self) -> bytes:
        ended = await outcome(self._services, self._job)
        image, found = ended.images[0], ended.found[0]
        picture = schemas.Completed(
            type="image_edit.completed" if self._wanted.event == "image_edit" else "image_generation.completed",
            b64_json=await encoded(self._services, self._job, image.number, found, self._wanted.form),
            created_at=ended.created,
            output_format=self._wanted.form.name,
            size=self._wanted.size,
            iterate=found.iterate,
            residual=image.residual,
            error_estimate=image.error_estimate,
            rounds=image.rounds,
            evaluations=image.evaluations,
            usage=schemas.usage(ended.images),
        )
        return format_sse_event(event=picture.type, data_str=picture.model_dump_json())
