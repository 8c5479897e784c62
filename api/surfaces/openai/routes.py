"""The route of OpenAI's clients."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from api.auth import signed_links
from api.auth.caller import Caller
from api.guard import WithCaller
from api.http.body import JsonBody, is_json
from api.http.headers import IdempotencyKey, digits
from api.jobs import control
from api.jobs.lookup import wait_for_end
from api.links import Links
from api.pictures.intake import take_in
from api.pictures.outcome import encoded, outcome
from api.services import Services, WithLinks, WithServices
from api.surfaces.openai import documents, schemas
from api.surfaces.openai.attempts import Attempt
from api.surfaces.openai.request import Wanted, card_of, read
from api.surfaces.openai.stream import ImageStream
from contract.warnings import Warning

MOST_RETRIES = 1000  # only whether there are any matters

router = APIRouter(tags=["openai"])


# Many clients add no /v1 to the base URL that they are given.
@router.post("/images/generations", include_in_schema=False, dependencies=[Depends(is_json)])
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
        str | None,
        Header(
            alias="X-Stainless-Retry-Count",
            description="How often the client has sent this request before, as OpenAI's clients count. A retry joins "
            "the job of an earlier attempt.",
        ),
    ] = None,
) -> Response:
    """Submits a job, and responds when it has ended. `Underpaint-Job` is its id. It takes the fields of OpenAI's API,
    and those of `POST /v1/jobs` (`images` is called `n`). With `stream` and `partial_images` some iterates are sent as
    they come. Errors have OpenAI's format.

    A client that disconnects before the end cancels the job, unless it may ask again: it sent an `Idempotency-Key`, or
    counts its retries and does not stream."""
    card = card_of(services.catalog, body, services.settings.openai_names)
    taken = await take_in(services, caller, body, card=card)
    wanted = read(services.catalog, taken.request, services.targets, services.settings.openai_names)
    wanted = replace(wanted, pictures=taken.pictures)
    attempt = Attempt(caller, body, idempotency_key, None if retries is None else digits(retries, MOST_RETRIES))
    return await answer(request, services, caller, links, wanted, attempt)


async def answer(
    request: Request, services: Services, caller: Caller, links: Links, wanted: Wanted, attempt: Attempt
) -> Response:
    """Run a job and respond with its pictures, or with the stream of them."""
    job, row, _ = await attempt.submit(services, links, wanted)
    headers = {"Underpaint-Job": str(job)}
    if row is None:
        headers["Idempotency-Replayed"] = "true"
    if wanted.partials is not None:
        return ImageStream(request, services, job, wanted, attempt, headers)
    if not await wait_for_end(services, request, job):
        if attempt.final:
            await control.abandon(services, job)
        return Response(headers=headers)  # the client has disconnected, and does not read this
    pictures = await _pictures(services, caller, links, job, wanted)
    if not await request.is_disconnected():
        await attempt.answered(services, job)
    return JSONResponse(pictures, headers={"Cache-Control": "no-store", **headers})


async def _pictures(services: Services, caller: Caller, links: Links, job: UUID, wanted: Wanted) -> dict[str, object]:
    ended = await outcome(services, job)
    data: list[schemas.Picture] = []
    for image, found in zip(ended.images, ended.found, strict=True):
        if wanted.url:
            url = links.picture(job, image.number, found.iterate)
            if caller.key:
                url = await signed_links.signed(
                    services.moving, services.settings.picture_url_seconds, url, job, image.number, found.iterate
                )
            data.append(schemas.Picture(url=url))
        else:
            picture = await encoded(services, job, image.number, found, wanted.form)
            data.append(schemas.Picture(b64_json=picture))
    answer = schemas.ImagesResponse(
        created=ended.created,
        data=data,
        output_format=wanted.form.name,
        size=wanted.size,
        quality=wanted.quality,
        warnings=[Warning.model_validate(warning) for warning in ended.job.warnings],
        usage=schemas.usage(ended.images),
    )
    return answer.model_dump()
