"""Ending and removing a job: cancel, accept, delete."""

from http import HTTPStatus

from anyio import to_thread
from fastapi import APIRouter, Response

from api.jobs import control
from api.jobs.lookup import existing
from api.openapi import responses
from api.problems import NoSuchJob, NotFinished, NothingToAccept
from api.services import WithLinks, WithServices
from api.surfaces.native import schemas, views
from api.surfaces.native.parameters import JobId
from contract.words import TERMINAL
from store import moves, wakeups
from store.pictures import PictureId, redis_cache

router = APIRouter(tags=["jobs"])


@router.post(
    "/v1/jobs/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    response_model=schemas.Job,
    response_description="The job has ended: it is canceled, or had ended before.",
    responses=responses(
        NoSuchJob,
        _202={
            "model": schemas.Job,
            "description": "The job runs, and its worker was asked to stop. It stops within a round.",
        },
    ),
)
async def cancel_job(job_id: JobId, services: WithServices, links: WithLinks, response: Response) -> schemas.Job:
    """May be sent again: a job that was asked to stop, or has ended, stays as it is. The pictures made so far are
    kept."""
    await control.cancel(services, job_id)
    view = await views.read(services, links, job_id)
    if view.state not in TERMINAL:
        response.status_code = HTTPStatus.ACCEPTED
    return view


@router.post(
    "/v1/jobs/{job_id}/accept",
    operation_id="accept_job",
    summary="Accept the newest iterates",
    response_model=schemas.Job,
    response_description="The job has ended: it was accepted, or had ended before.",
    responses=responses(
        NoSuchJob,
        NothingToAccept,
        _202={
            "model": schemas.Job,
            "description": "The job runs, and its worker was asked to end it. It ends within a round.",
        },
    ),
)
async def accept_job(job_id: JobId, services: WithServices, links: WithLinks, response: Response) -> schemas.Job:
    """The pictures are good enough: stop computing and keep them. Each image ends with its newest iterate, or with its
    first one if it has none yet. The job has then `succeeded`, with `stopped` as `accepted`, and can be refined later.
    May be sent again."""
    await control.accept(services, job_id)
    view = await views.read(services, links, job_id)
    if view.state in TERMINAL:
        return view
    if not view.accept_requested:
        why = "was asked to stop" if view.cancel_requested else "is queued, and has no picture yet"
        raise NothingToAccept(f"The job {why}: there is nothing that could be accepted.")
    response.status_code = HTTPStatus.ACCEPTED
    return view


@router.delete(
    "/v1/jobs/{job_id}",
    operation_id="delete_job",
    summary="Delete a job",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    response_description="The job and its pictures are gone.",
    responses=responses(NoSuchJob, NotFinished),
)
async def delete_job(job_id: JobId, services: WithServices) -> None:
    """Removes a job that has ended, with its pictures and everything else about it."""
    async with services.moving.begin() as session:
        row = await existing(session, job_id)
        if row.state not in TERMINAL:
            raise NotFinished(f"The job is {row.state}, and only jobs that have ended can be deleted: cancel it first.")
        deleted = (await session.execute(moves.delete(job_id))).one_or_none()
    if deleted:
        pictures = [PictureId(job_id, etag) for etag in deleted.etags]
        await to_thread.run_sync(services.pictures.delete, pictures)
    await redis_cache.drop_async(services.redis, job_id)
    await wakeups.publish_async(services.redis, job_id, row.seq + 1)  # clients that wait for the job find it gone
