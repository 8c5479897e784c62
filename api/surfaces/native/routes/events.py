"""The events of a job, as they happen."""

from http import HTTPStatus
from typing import Annotated, get_args

from fastapi import APIRouter, Header, Query, Response

from api.auth.share_links import BY_LINK
from api.jobs.lookup import existing
from api.live.sse import EventStream
from api.openapi import responses
from api.problems import InvalidRequest, NoSuchJob
from api.services import WithLinks, WithServices
from api.surfaces.native import examples
from api.surfaces.native.parameters import JobId
from contract.words import TERMINAL, EventKind

router = APIRouter(tags=["jobs"])

MAX_SEQ = 2**31 - 1  # of an integer in PostgreSQL

# One parsed event (OpenAPI 3.2, "Server-Sent Event Streams").
EVENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[1-9][0-9]*$"},
        "event": {"type": "string", "enum": list(get_args(EventKind))},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer"},
    },
}


@router.get(
    "/v1/jobs/{job_id}/events",
    operation_id="stream_events",
    summary="Follow a job",
    response_class=Response,
    response_description="Server-sent events, until the job has ended.",
    responses=responses(
        NoSuchJob,
        InvalidRequest,
        _200={"content": {"text/event-stream": {"itemSchema": EVENT, "example": examples.STREAM}}},
        _204={"description": "The job has ended and the client has all its events: do not come back."},
    ),
    dependencies=[BY_LINK],
)
async def stream_events(
    job_id: JobId,
    services: WithServices,
    links: WithLinks,
    last_event_id: Annotated[
        int, Header(alias="Last-Event-ID", ge=0, le=MAX_SEQ, description="The `id` of the newest event received.")
    ] = 0,
    since: Annotated[
        int,
        Query(
            alias="last_event_id",
            ge=0,
            le=MAX_SEQ,
            description="The same, for clients that cannot set the header. The header has precedence.",
        ),
    ] = 0,
) -> Response:
    """Server-sent events, for `EventSource` and other clients that read streams. The events so far, or those after
    `Last-Event-ID`, come at once, the others as they happen. Each has its number as `id`.

    - `state`: the state of the job, or of one of its images, has changed. `state`, `stopped` and `error` are those of
      the job.
    - `iterate`: an iterate was saved, with its figures and the address of its `picture`.
    - `done`: the job has ended, and with it the stream. A refined job has a `done` for each time it ended.

    A comment comes after 15 seconds of silence. While the database is away, a client that accepts `text/event-stream`
    gets a stream that ends at once instead of 503: after an error an `EventSource` would not reconnect."""
    async with services.reading.begin() as session:
        job = await existing(session, job_id)
    after = min(last_event_id or since, job.seq)
    if job.state in TERMINAL and after == job.seq:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return EventStream(services.subscriptions, links, job_id, after)
