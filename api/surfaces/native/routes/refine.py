"""Refining: going on with a job that has ended."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from api.guard import WithCaller
from api.http.body import is_json
from api.jobs.lookup import existing
from api.limits.queued_jobs import check_room
from api.openapi import example, header, responses
from api.problems import (
    BodyTooLarge,
    InvalidRequest,
    NoSuchJob,
    NotFinished,
    NotJson,
    NotRefinable,
    QueueFull,
    TooManyQueued,
    TooManyRequests,
)
from api.services import WithLinks, WithServices
from api.surfaces.native import examples, schemas, views
from api.surfaces.native.parameters import JobId
from contract.fields import Generation, RefineRequest
from contract.methods import METHODS
from store import moves, reads, tables, wakeups
from store.refine import refined, unrefinable_methods

router = APIRouter(tags=["jobs"])


@router.post(
    "/v1/jobs/{job_id}/refine",
    operation_id="refine_job",
    summary="Refine a finished job",
    status_code=HTTPStatus.ACCEPTED,
    response_model=schemas.Job,
    response_description="The job is queued again, and goes on where it ended.",
    responses=responses(
        NoSuchJob,
        NotFinished,
        NotRefinable,
        InvalidRequest,
        BodyTooLarge,
        NotJson,
        TooManyRequests,
        TooManyQueued,
        QueueFull,
        _202={
            "content": example(examples.REFINED),
            "headers": {"Location": header("The address of the job.")},
        },
    ),
    dependencies=[Depends(is_json)],
)
async def refine_job(
    job_id: JobId,
    services: WithServices,
    caller: WithCaller,
    links: WithLinks,
    response: Response,
    request: Annotated[
        RefineRequest | None,
        Body(
            openapi_examples={
                "draft": {"summary": "A draft, to the tolerance of its request", "value": {}},
                "finer": {"summary": "To a lower tolerance", "value": {"tolerance": 0.001}},
                "exact": {"summary": "To the picture of the serial sampler", "value": {"tolerance": 0}},
                "once": {"summary": "At most to iterate 3", "value": {"max_iterations": 3}},
            }
        ),
    ] = None,
) -> schemas.Job:
    """For a draft, or a picture that is not good enough: a job that has `succeeded` and is not `exact` goes on from
    its last iterate, and nothing is computed twice. Its iterates count on, and the new last one is then the final
    picture. What a job needs for this is kept for a limited time after it has ended, by default a day."""
    wanted = request or RefineRequest()
    async with services.moving.begin() as session:
        row = await session.scalar(reads.job(job_id).with_for_update()) or await existing(session, job_id)
        images = (await session.scalars(reads.images([job_id]))).all()
        unfinished = [image for image in images if image.stopped != "exact"]
        _check(row, unfinished)
        await check_room(session, caller, services.settings.max_queued_per_key)
        generation = Generation.model_validate(row.generation)
        pace, max_queued = await services.pacer.now(session), services.settings.max_queued
        new = refined(generation, unfinished, wanted)
        moved = (await session.execute(moves.refine(job_id, new, max_queued))).one_or_none()
        if moved is None:
            if (await session.scalar(reads.queue_depth()) or 0) >= max_queued:
                raise QueueFull.of(max_queued, pace.retry_after)
            raise NotRefinable("What the job would go on from is no longer kept: submit it again.")
        view, _ = await views.job(session, links, await existing(session, job_id), pace)
    await wakeups.publish_async(services.redis, job_id, moved.seq)
    await services.outbox.send(job_id)
    response.headers["Location"] = view.links.self
    return view


def _check(row: tables.Job, unfinished: Sequence[tables.Image]) -> None:
    """Check whether a job can be refined, except for its checkpoints.

    Raises:
        NotFinished, NotRefinable: it cannot; the message says why.
    """
    if row.state in ("queued", "running"):
        raise NotFinished(f"The job is {row.state}, and only jobs that have ended can be refined: wait for its end.")
    if row.state != "succeeded":
        raise NotRefinable(f"The job {'has failed' if row.state == 'failed' else 'was canceled'}: submit it again.")
    if row.stopped == "exact":
        raise NotRefinable("The job is exact: there is nothing left to refine.")
    if methods := unrefinable_methods(unfinished):
        others = " or ".join(name for name, method in METHODS.items() if method.refines)
        raise NotRefinable(
            f"Method {', '.join(methods)} leaves nothing to refine: submit the job again with a lower tolerance, or "
            f"with method {others}."
        )
