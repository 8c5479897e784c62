"""Iterates: their figures, and their pictures."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.share_links import BY_LINK
from api.auth.signed_links import BY_SIGNATURE
from api.encoding import formats as pictures
from api.http.headers import IfNoneMatch, not_modified
from api.http.prefer import WithWait
from api.jobs.lookup import existing
from api.live.subscriptions import Look
from api.openapi import example, header, responses
from api.pictures.lookup import Found, find_picture, progress, sent_picture
from api.problems import DatabaseGone, InvalidRequest, NoSuchJob, NoSuchPicture, NotAcceptable, PicturesGone
from api.services import WithLinks, WithServices
from api.surfaces.native import examples, schemas, views
from api.surfaces.native.parameters import ImageNumber, IterateNumber, JobId
from store import reads
from store.pictures import PictureId

router = APIRouter(tags=["pictures"])

PICTURE = {"type": "string", "format": "binary"}  # of OpenAPI 3.0, which generators of clients know
IMMUTABLE = "private, max-age=31536000, immutable"


@router.get(
    "/v1/jobs/{job_id}/iterates",
    operation_id="list_iterates",
    summary="List the iterates of a job",
    response_model=schemas.Iterates,
    response_description="Every iterate that was saved, by image and number.",
    responses=responses(
        NoSuchJob,
        _200={
            "content": example(examples.ITERATES),
            "headers": {"ETag": header("Changes whenever the job does.")},
        },
        _304={"description": "Nothing has changed since `If-None-Match`."},
    ),
    dependencies=[BY_LINK],
)
async def list_iterates(
    job_id: JobId, services: WithServices, links: WithLinks, response: Response, if_none_match: IfNoneMatch = None
) -> schemas.Iterates | Response:
    """The figures of every iterate, and the address of its picture."""
    async with services.reading.begin() as session:
        job = await existing(session, job_id)
        rows = (await session.scalars(reads.iterates(job_id))).all()
    headers = {"ETag": views.etag(job), "Cache-Control": "private, no-cache"}
    if not_modified(if_none_match, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    response.headers.update(headers)
    return schemas.Iterates(iterates=[views.iterate(links, row) for row in rows])


@router.get(
    "/v1/jobs/{job_id}/images/{image}/iterates/{iterate}",
    operation_id="get_picture",
    summary="Get the picture of an iterate",
    response_class=Response,
    response_description="The picture.",
    responses=responses(
        NoSuchJob,
        NoSuchPicture,
        NotAcceptable,
        InvalidRequest,
        DatabaseGone,
        PicturesGone,
        _200={
            "headers": {
                "ETag": header("Names exactly these bytes."),
                "Underpaint-Iterate": header("The number of the iterate.", "integer"),
                "Underpaint-Final": header("Whether this is the finished picture.", "boolean"),
                "Content-Location": header("The address at which this picture stays; sent with `latest`."),
                "Preference-Applied": header("The wait that a `Prefer` header was granted."),
            },
            "content": {form.media_type: {"schema": PICTURE} for form in pictures.FORMATS},
        },
        _304={"description": "It is the picture that `If-None-Match` names."},
        _307={"description": "It is at `Location`, in the object store, for a while; if the server is set up so."},
    ),
    dependencies=[BY_LINK, BY_SIGNATURE],
)
async def get_picture(
    job_id: JobId,
    image: ImageNumber,
    iterate: IterateNumber,
    request: Request,
    services: WithServices,
    links: WithLinks,
    wait: WithWait,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """PNG, with the pixels as they were computed, or WebP or JPEG if the `Accept` header prefers it. A numbered picture
    never changes.
    `latest` is the newest one; with `If-None-Match` it shows whether there is a newer one.

    With `wait` the response for `latest` is held until there is a picture other than the one in `If-None-Match`, and
    that for a number until its picture exists; or until the image is finished and no other will come."""
    form = pictures.negotiate(", ".join(request.headers.getlist("accept")))

    async def look(session: AsyncSession) -> Look[tuple[Found | NoSuchPicture, bool]]:
        try:
            found = await find_picture(session, job_id, image, iterate)
        except NoSuchPicture as missing:
            found = missing
        if not wait.seconds:
            return Look(0, (found, False))
        seq, more = await progress(session, job_id, image, iterate)
        return Look(seq, (found, more))

    def enough(seen: tuple[Found | NoSuchPicture, bool]) -> bool:
        found, more = seen
        if isinstance(found, NoSuchPicture):
            return not more
        known = iterate is None and not_modified(if_none_match, services.marking.etag(found.etag, form))
        return not (known and more)

    found, _ = await services.subscriptions.until_enough(
        job_id, request, wait, ("picture", job_id, image, iterate), look, enough
    )
    if isinstance(found, NoSuchPicture):
        raise found
    headers = {
        **wait.headers,
        "ETag": services.marking.etag(found.etag, form),
        "Cache-Control": "no-cache" if iterate is None else IMMUTABLE,
        "Vary": "Accept",
        "Underpaint-Iterate": str(found.iterate),
        "Underpaint-Final": str(found.final).lower(),
    }
    if iterate is None:
        headers["Content-Location"] = links.picture(job_id, image, found.iterate)
    if not_modified(if_none_match, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    # A page's script could not read it from there, unless the object store allows its origin.
    if form is pictures.PNG and request.headers.get("sec-fetch-mode") != "cors":
        async with services.reading.begin() as session:
            elsewhere = await services.pictures.url(session, PictureId(job_id, found.etag))
        if elsewhere is not None:
            headers |= {"Location": elsewhere, "Cache-Control": "no-store"}
            return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers=headers)
    picture = await sent_picture(services, job_id, image, found, form)
    return Response(picture, headers=headers, media_type=form.media_type)
