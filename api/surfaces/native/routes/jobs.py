"""Jobs: submit, list, read."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.share_links import BY_LINK
from api.guard import WithCaller
from api.http.body import JsonBody, is_json
from api.http.headers import IdempotencyKey, IfNoneMatch, not_modified
from api.http.prefer import WithWait
from api.jobs.lookup import existing
from api.jobs.submit import made_before, submit
from api.live.subscriptions import Look
from api.openapi import example, header, responses
from api.pictures.intake import take_in
from api.problems import (
    BodyTooLarge,
    IdempotencyKeyReused,
    InvalidRequest,
    NoSuchJob,
    NotJson,
    PicturesGone,
    QueueFull,
    TooManyQueued,
    TooManyRequests,
)
from api.services import WithLinks, WithServices
from api.surfaces.native import examples, pagination, schemas, views
from api.surfaces.native.parameters import JobId
from contract.annotations import Text
from contract.words import State
from store import reads
from store.idempotency import Once, fingerprint
from store.requests import resolve_request

router = APIRouter(tags=["jobs"])


@router.post(
    "/v1/jobs",
    operation_id="submit_job",
    summary="Submit a job",
    status_code=HTTPStatus.ACCEPTED,
    response_model=schemas.Job,
    response_description="The job was accepted and will run, even if the server restarts meanwhile.",
    responses=responses(
        InvalidRequest,
        IdempotencyKeyReused,
        BodyTooLarge,
        NotJson,
        PicturesGone,
        TooManyRequests,
        TooManyQueued,
        QueueFull,
        _202={
            "content": example(examples.SUBMITTED),
            "headers": {
                "Location": header("The address of the job."),
                "Retry-After": header("Seconds after which to read the job for the first time.", "integer"),
                "Idempotency-Replayed": header("`true` if an earlier request with this key has made the job."),
            },
        },
    ),
    dependencies=[Depends(is_json)],
)
async def submit_job(
    request: JsonBody,
    services: WithServices,
    caller: WithCaller,
    links: WithLinks,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> schemas.Job:
    """Returns as soon as the job is saved. Only `prompt` is needed: the model has defaults that give a good picture.
    `GET /v1/models` lists them, and its limits. Everything that is wrong with a request is reported at once.

    A request that may have been lost can be sent again with the same `Idempotency-Key`: the response is the job that
    the first one made, as it is now. Keys are kept for a day, and no longer than their jobs."""
    once = Once(idempotency_key, fingerprint("submit_job", request)) if idempotency_key else None
    pictures: Mapping[str, bytes] = {}
    # What an earlier request has started from may have expired meanwhile.
    if once is None or await made_before(services, once.by(caller.key_id)) is None:
        request, pictures = await take_in(services, caller, request)
    generation, handling = resolve_request(services.catalog, request, services.targets)
    made, row, warnings = await submit(services, caller, links, generation, handling, once, pictures=pictures)
    if row:
        position = await services.queue_positions.of(made)
        pace = await services.pacer.latest(services.single)
        job = views.queued(links, row, generation, handling, position, pace, warnings)
    else:
        job = await views.read(services, links, made)
        response.headers["Idempotency-Replayed"] = "true"
    response.headers["Location"] = job.links.self
    response.headers["Retry-After"] = "1"
    return job


class PageQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=100, description="The most jobs to list.")
    cursor: str | None = Field(None, description="The `next_cursor` of an earlier page: list the jobs after it.")
    state: list[State] = Field([], description="Only jobs in this state; may be given several times.")
    model: Text | None = Field(None, description="Only jobs of this model.")


@router.get(
    "/v1/jobs",
    operation_id="list_jobs",
    summary="List jobs",
    response_model=schemas.JobPage,
    response_description="One page of jobs, newest first.",
    responses=responses(
        InvalidRequest,
        _200={
            "content": example(examples.PAGE),
            "headers": {"Link": header('The next page, as rel="next"; missing on the last one.')},
        },
    ),
)
async def list_jobs(
    query: Annotated[PageQuery, Query()],
    services: WithServices,
    caller: WithCaller,
    links: WithLinks,
    response: Response,
) -> schemas.JobPage:
    """Newest first. Jobs that are submitted meanwhile do not shift the pages: following `next_cursor`, or the `Link`
    header, lists every job exactly once."""
    after = None if query.cursor is None else pagination.decode(query.cursor)
    async with services.reading.begin() as session:
        # One more than asked for shows whether there is another page.
        found = reads.jobs(query.limit + 1, after, query.state, query.model, caller.owner)
        rows = (await session.scalars(found)).all()
        page, more = rows[: query.limit], len(rows) > query.limit
        jobs = await views.jobs(session, links, page, await services.pacer.now(session))
    cursor = pagination.encode(reads.Position(page[-1].created_at, page[-1].id)) if more else None
    if cursor:
        following = query.model_dump(exclude_defaults=True) | {"cursor": cursor}
        response.headers["Link"] = f'<{links.jobs()}?{urlencode(following, doseq=True)}>; rel="next"'
    response.headers["Cache-Control"] = "private, no-cache"
    return schemas.JobPage(jobs=jobs, next_cursor=cursor)


@router.get(
    "/v1/jobs/{job_id}",
    operation_id="get_job",
    summary="Read a job",
    response_model=schemas.Job,
    response_description="The job as it is now.",
    responses=responses(
        NoSuchJob,
        InvalidRequest,
        _200={
            "content": example(examples.RUNNING),
            "headers": {
                "ETag": header("Changes whenever the job does."),
                "Preference-Applied": header("The wait that a `Prefer` header was granted."),
            },
        },
        _304={"description": "The job has not changed since `If-None-Match`."},
    ),
    dependencies=[BY_LINK],
)
async def get_job(
    job_id: JobId,
    request: Request,
    services: WithServices,
    caller: WithCaller,
    links: WithLinks,
    wait: WithWait,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> schemas.Job | Response:
    """The state of the job, its position in the queue, and the newest iterate of each image with its figures.

    With `wait` and `If-None-Match` the response is held until the job has changed. Without `If-None-Match` there is
    nothing to wait for, and the response comes at once."""

    async def look(session: AsyncSession) -> Look[tuple[schemas.Job, str]]:
        row = await existing(session, job_id)
        view, etag = await views.job(session, links, row, await services.pacer.now(session))
        return Look(row.seq, (view, etag))

    view, etag = await services.subscriptions.until_enough(
        job_id, request, wait, ("job", job_id, links), look, lambda found: not not_modified(if_none_match, found[1])
    )
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", **wait.headers}
    if not_modified(if_none_match, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    response.headers.update(headers)
    # Addresses of webhooks often hold secrets.
    return view.model_copy(update={"webhook": None}) if caller.guest else view
