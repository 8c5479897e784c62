"""Pictures that clients send, and those that jobs start from."""

import asyncio
from http import HTTPStatus
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Path, Request, Response

from api.auth.caller import Caller
from api.guard import WithCaller
from api.http.form import File, is_form, read_form
from api.http.headers import IfNoneMatch, not_modified
from api.jobs.lookup import existing
from api.openapi import example, header, responses
from api.pictures import taken
from api.pictures.intake import kept, limits_of
from api.pictures.taken import NotAPicture
from api.problems import (
    BodyTooLarge,
    InvalidRequest,
    NoSuchJob,
    NoSuchUpload,
    NotAnUpload,
    PicturesGone,
    TooManyUploads,
    TooSlow,
)
from api.services import Services, WithLinks, WithServices
from api.surfaces.native import examples, schemas
from api.surfaces.native.parameters import JobId
from contract.problems import Code, FieldProblem, InvalidFields
from store import inputs
from store.pictures import PictureId

router = APIRouter(tags=["uploads"])

InputName = Annotated[
    str,
    Path(
        description="Which of the pictures of its request: `image`, `mask`, or the id of one, as `references` has it.",
        pattern=r"^(image|mask|[0-9a-f]{64})$",
    ),
]

FILE = "file"
UploadId = Annotated[str, Path(description="The `id` of the upload.", pattern=r"^[0-9a-f]{64}$")]
_PICTURE = {"schema": {"type": "string", "format": "binary"}}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(taken.MEDIA_TYPES.values(), _PICTURE),
            "multipart/form-data": {
                "schema": {"type": "object", "required": [FILE], "properties": {FILE: _PICTURE["schema"]}}
            },
        },
    }
}


@router.post(
    "/v1/uploads",
    operation_id="upload_picture",
    summary="Upload a picture",
    status_code=HTTPStatus.CREATED,
    response_model=schemas.Upload,
    response_description="The picture, as it is kept. Its `id` can be the `image` or the `mask` of a job.",
    responses=responses(
        InvalidRequest,
        BodyTooLarge,
        NotAnUpload,
        TooManyUploads,
        TooSlow,
        _201={
            "content": example(examples.UPLOAD),
            "headers": {"Location": header("The address of the picture.")},
        },
    ),
    openapi_extra=BODY,
)
async def upload_picture(
    request: Request, services: WithServices, caller: WithCaller, links: WithLinks, response: Response
) -> schemas.Upload:
    """A PNG, JPEG or WebP, as the body or as the part `file` of a form. It is turned as its metadata says, and kept
    as a PNG of 8 bits without any metadata. The `id` is the SHA-256 of that: the same picture gets the same one.

    Only the key that sent it can use it. It expires a day after a job was submitted with it last; jobs keep what they
    start from."""
    file = await _sent(request)
    try:
        picture = await taken.take(file.data, limits_of(services), file.media_type)
    except NotAPicture as error:
        raise InvalidFields([FieldProblem(FILE, Code.VALUE, str(error))]) from error
    await store_upload(services, caller, picture)
    response.headers["Location"] = address = links.upload(picture.sha256)
    return schemas.Upload(
        id=picture.sha256,
        width=picture.width,
        height=picture.height,
        bytes=len(picture.png),
        expires_after_seconds=services.upload_seconds,
        link=address,
    )


async def store_upload(services: Services, caller: Caller, picture: inputs.Upload) -> None:
    """Keep an upload.

    Raises:
        TooManyUploads: the caller's uploads have too many bytes together.
        PicturesUnavailable: it cannot be stored now.
    """
    most = services.settings.max_uploaded_bytes_per_key
    async with services.moving.begin() as session:
        if await session.scalar(inputs.renew(caller.key_id, picture.sha256)):
            return
        if (await session.scalar(inputs.stored_bytes(caller.key_id)) or 0) + len(picture.png) > most:
            raise TooManyUploads(f"Uploads may have {most} bytes together: delete some, or wait until they expire.")
    upload = uuid4()
    async with services.intake.turn(), services.moving.begin() as session:
        stored = await services.pictures.store(session, upload, picture.png)
        kept_as = await session.scalar(inputs.upload(caller.key_id, upload, picture, stored))
    if kept_as != upload:
        await asyncio.to_thread(services.pictures.delete, [PictureId(upload, picture.sha256)])


async def _sent(request: Request) -> File:
    if is_form(request):
        form = await read_form(request, (FILE,), 2)
        files = form.files.get(FILE, [])
        problems = [FieldProblem(name, Code.UNKNOWN, "is no part of an upload: leave it out") for name in form.fields]
        if len(files) != 1:
            message = "is required: send the picture as a part of this name" if not files else "is there twice"
            problems.append(FieldProblem(FILE, Code.VALUE if files else Code.MISSING, message))
        if problems:
            raise InvalidFields(problems)
        return files[0]
    kind = request.headers.get("content-type", "")
    if kind.partition("/")[0].strip().lower() not in ("image", "", "application") or "json" in kind.lower():
        raise NotAnUpload(NotAnUpload.example)
    if kind.lower().startswith("application/") and "octet-stream" not in kind.lower():
        raise NotAnUpload(NotAnUpload.example)
    return File(await request.body(), kind)


@router.get(
    "/v1/uploads/{upload_id}",
    operation_id="get_upload",
    summary="Get an upload",
    response_class=Response,
    response_description="The picture, as it is kept.",
    responses=responses(NoSuchUpload, PicturesGone, _200={"content": {"image/png": {}}}),
)
async def get_upload(
    upload_id: UploadId, services: WithServices, caller: WithCaller, if_none_match: IfNoneMatch = None
) -> Response:
    """The PNG that jobs start from, to the key that has sent it."""
    async with services.reading() as session:
        row = (await session.execute(inputs.uploaded(caller.key_id, upload_id))).one_or_none()
    png = await kept(services, PictureId(row[0], upload_id), row[1]) if row else None
    if png is None:
        raise NoSuchUpload.of(upload_id)
    return _png(png, upload_id, if_none_match)


@router.delete(
    "/v1/uploads/{upload_id}",
    operation_id="delete_upload",
    summary="Delete an upload",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    response_description="The upload is deleted. Jobs that were submitted with it keep their copy.",
    responses=responses(NoSuchUpload),
)
async def delete_upload(upload_id: UploadId, services: WithServices, caller: WithCaller) -> None:
    """Deletes it before it expires. The jobs that start from it are not changed."""
    async with services.moving.begin() as session:
        row = (await session.execute(inputs.remove(caller.key_id, upload_id))).one_or_none()
    if row is None:
        raise NoSuchUpload.of(upload_id)
    await asyncio.to_thread(services.pictures.delete, [PictureId(*row)])


@router.get(
    "/v1/jobs/{job_id}/inputs/{name}",
    operation_id="get_input",
    summary="Get what a job starts from",
    response_class=Response,
    response_description="The picture, as it was submitted.",
    responses=responses(NoSuchJob, NoSuchUpload, PicturesGone, _200={"content": {"image/png": {}}}),
)
async def get_input(
    job_id: JobId, name: InputName, services: WithServices, if_none_match: IfNoneMatch = None
) -> Response:
    """The `image`, the `mask` or one of the `references` of its request. It is deleted with the job. Share
    links do not open it."""
    async with services.reading.begin() as session:
        job = await existing(session, job_id)
        digest = str(job.generation.get(name, name))
        row = (await session.execute(inputs.of_job(job_id, digest))).one_or_none()
    png = await kept(services, PictureId(job_id, digest), row[1]) if row else None
    if png is None:
        raise NoSuchUpload(f"The job has no {name}.")
    return _png(png, digest, if_none_match)


def _png(png: bytes, digest: str, if_none_match: str | None) -> Response:
    headers = {"ETag": f'"{digest}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if not_modified(if_none_match, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(png, headers=headers, media_type="image/png")
