"""Images as OpenAI's clients ask for them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.guard import WithCaller
from api.http.body import JsonBody, is_json
from api.http.prefer import Wait
from api.links import Links
from api.live.subscriptions import Look
from api.services import Services, WithLinks, WithServices
from api.surfaces.native import views
from api.surfaces.native.parameters import IdempotencyKey
from api.surfaces.openai import documents, schemas
from api.surfaces.openai.attempts import Attempt
from api.surfaces.openai.outcome import encoded, outcome
from api.surfaces.openai.request import Wanted, read
from api.surfaces.openai.stream import ImageStream
from contract.words import TERMINAL
from store import logs

router = APIRouter(tags=["openai"])

ENDLESS = 30 * 86400  # s; a client has its own idea of when it is enough


@router.post(
    "/v1/images/generations",
    operation_id="generate_images",
    summary="Generate images, as OpenAI's clients do",
    response_model=schemas.ImagesResponse,
    response_description="The finished pictures; with `stream` server-sent events.",
    responses=documents.RESPONSES,
    dependencies=[Depends(is_json)],
)
async def generate_images(
    body: JsonBody,
    request: Request,
    services: WithServices,
    caller: WithCaller,
    links: WithLinks,
    idempotency_key: IdempotencyKey = None,
    retries: Annotated[
        str,
        Header(
            alias="X-Stainless-Retry-Count",
            description="How often the client has sent this request before, as OpenAI's clients tell: a later attempt "
            "joins the job of an earlier one.",
        ),
    ] = "0",
) -> Response:
    """A job like any other, held until it has ended: `Underpaint-Job` is its id. It takes the fields of OpenAI's API,
    and those of `POST /v1/jobs` beside them (`images` is called `n`). With `stream` and `partial_images` the
    iterates on the way are sent as they come. Errors have OpenAI's shape.

    A client that leaves before the end cancels the job only where it streams and sent no `Idempotency-Key`: others may
    come back."""
    wanted = read(services.catalog, body, services.targets)
    attempt = Attempt(caller, body, idempotency_key, int(retries) if retries.isdecimal() else 0)
    submitted = await attempt.submit(services, links, wanted)
    logs.bind(job_id=str(submitted.job.id))
    headers = {"Underpaint-Job": str(submitted.job.id)}
    if submitted.replayed:
        headers["Idempotency-Replayed"] = "true"
    if wanted.partials is not None:
        return ImageStream(request, services, submitted.job.id, wanted, attempt, headers)
    if not await _end(services, request, submitted.job.id):
        return Response(headers=headers)  # the client has left: nobody reads this
    answer = await _pictures(services, links, submitted.job.id, wanted)
    if not await request.is_disconnected():
        await attempt.answered(services, submitted.job.id)
    return JSONResponse(answer, headers={"Cache-Control": "no-store", **headers})


async def _end(services: Services, request: Request, job: UUID) -> bool:
    """Wait for the end of a job. False: the client has left."""

    async def look(session: AsyncSession) -> Look[bool]:
        row = await views.existing(session, job)
        return Look(row.seq, row.state in TERMINAL)

    wait = Wait(ENDLESS, preferred=False)
    return await services.subscriptions.until_enough(job, request, wait, ("end", job), look, bool)


async def _pictures(services: Services, links: Links, job: UUID, wanted: Wanted) -> dict[str, object]:
    ended = await outcome(services, job)
    data: list[schemas.Picture] = []
    for image, found in zip(ended.images, ended.found, strict=True):
        if wanted.url:
            data.append(schemas.Picture(url=links.picture(job, image.number, found.iterate)))
        else:
            picture = await encoded(services, job, image.number, found, wanted.form)
            data.append(schemas.Picture(b64_json=picture))
    answer = schemas.ImagesResponse(
        created=ended.created,
        data=data,
        output_format=wanted.form.name,
        size=wanted.size,
        usage=schemas.usage(ended.images),
    )
    return answer.model_dump(exclude_none=True)
