"""The deliveries of a job's webhook: their state, and sending one again."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.jobs.lookup import existing
from api.openapi import example, responses
from api.problems import InvalidRequest, NoSuchDelivery, NoSuchJob
from api.services import WithLinks, WithServices
from api.surfaces.native import examples, schemas, views
from api.surfaces.native.parameters import DeliveryId, JobId
from store import deliveries

router = APIRouter(tags=["webhooks"])


class DeliveryQuery(BaseModel):
    """Which deliveries to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=100, description="The most deliveries to list.")
    cursor: int = Field(
        0, ge=0, le=2**31 - 1, description="The `next_cursor` of an earlier page: list the deliveries after it."
    )


@router.get(
    "/v1/jobs/{job_id}/deliveries",
    operation_id="list_deliveries",
    summary="List the deliveries of a job's webhook",
    response_model=schemas.DeliveryPage,
    response_description="One page of deliveries, in the order of their events.",
    responses=responses(
        NoSuchJob,
        InvalidRequest,
        _200={"content": example(examples.DELIVERIES)},
    ),
)
async def list_deliveries(
    job_id: JobId,
    query: Annotated[DeliveryQuery, Query()],
    services: WithServices,
    links: WithLinks,
    response: Response,
) -> schemas.DeliveryPage:
    """Each event that the job's `webhook` subscribes to has one delivery, which is tried until the receiver accepts
    it. Without a webhook there are none."""
    async with services.reading.begin() as session:
        job = await existing(session, job_id)
        # One more than asked for shows whether there is another page.
        rows = (await session.execute(deliveries.listed(job_id, query.limit + 1, query.cursor))).all()
    page, more = rows[: query.limit], len(rows) > query.limit
    response.headers["Cache-Control"] = "private, no-cache"
    return schemas.DeliveryPage(
        deliveries=[views.delivery(links, row, kind) for row, kind in page],
        disabled=(job.webhook or {}).get("disabled"),
        next_cursor=page[-1][0].seq if more else None,
    )


@router.post(
    "/v1/jobs/{job_id}/deliveries/{delivery_id}/send",
    operation_id="send_delivery",
    summary="Send a delivery again",
    status_code=HTTPStatus.ACCEPTED,
    response_model=schemas.Delivery,
    response_description="The delivery is due, and will be sent within seconds.",
    responses=responses(NoSuchJob, NoSuchDelivery, _202={"content": example(examples.DELIVERY)}),
)
async def send_delivery(
    job_id: JobId, delivery_id: DeliveryId, services: WithServices, links: WithLinks
) -> schemas.Delivery:
    """In any state: a delivered one is sent once more, a failed one is tried as often as a new one, and one that waits
    for its next attempt is sent now. The `webhook-id` stays the same. A disabled webhook becomes enabled."""
    async with services.moving.begin() as session:
        await existing(session, job_id)
        for statement in deliveries.send_again(job_id, delivery_id):
            await session.execute(statement)
        found = (await session.execute(deliveries.one(job_id, delivery_id))).one_or_none()
        if found is None:
            raise NoSuchDelivery(f"The job has no delivery {delivery_id}.")
    return views.delivery(links, *found)
