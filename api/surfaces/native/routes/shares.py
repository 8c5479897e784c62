"""Sharing a job: others can read it with a link, and without a key."""

from http import HTTPStatus

from fastapi import APIRouter

from api.jobs.lookup import existing
from api.openapi import example, responses
from api.problems import NoSuchJob
from api.services import WithLinks, WithServices
from api.surfaces.native import examples, schemas
from api.surfaces.native.parameters import JobId
from store import shares

router = APIRouter(tags=["jobs"])


@router.post(
    "/v1/jobs/{job_id}/share",
    operation_id="share_job",
    summary="Share a job",
    response_model=schemas.Share,
    response_description="The job is shared.",
    responses=responses(NoSuchJob, _200={"content": example(examples.SHARE)}),
)
async def share_job(job_id: JobId, services: WithServices, links: WithLinks) -> schemas.Share:
    """Everybody with the token may read this job, its events, iterates and pictures, now and later, by adding
    `?share=TOKEN` to their addresses. They need no key. They can change nothing, see no other job, and do not see the
    webhook. Treat the token like a key to these pictures. A job that is already shared keeps its token."""
    async with services.moving.begin() as session:
        if await session.scalar(shares.hold(job_id)) is None:
            raise NoSuchJob.of(job_id)
        await session.execute(shares.share(job_id, shares.new_token()))
        token = (await session.scalars(shares.of(job_id))).one()
    return schemas.Share(token=token, links=schemas.ShareLinks(page=links.page(job_id, token)))


@router.delete(
    "/v1/jobs/{job_id}/share",
    operation_id="unshare_job",
    summary="Stop sharing a job",
    status_code=HTTPStatus.NO_CONTENT,
    response_description="Nobody can read the job by a link any more.",
    responses=responses(NoSuchJob),
)
async def unshare_job(job_id: JobId, services: WithServices) -> None:
    """The token stops working, and the next one will be different. Streams that were opened with it end with their
    connections. May be sent again."""
    async with services.moving.begin() as session:
        await existing(session, job_id)
        await session.execute(shares.end(job_id))
