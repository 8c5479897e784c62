"""The pictures that a request for a job starts from: found by what the request says, checked, named by their digest.

`take_in` is for every surface: it returns the request as ``store.requests`` takes it, and the bytes for `submit`.
"""

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.caller import Caller
from api.pictures import taken
from api.pictures.lookup import find_picture, read_picture
from api.pictures.taken import NotAPicture
from api.problems import Problem
from api.services import Services
from contract.fields import MOST_REFERENCES
from contract.fitting import nearest_side
from contract.problems import Code, FieldProblem, InvalidFields
from contract.table import GENERATION
from store import inputs, reads
from store.catalog import ModelCard
from store.inputs import Upload
from store.pictures import PictureId

NAMES = ("image", "mask")
_ID = re.compile(r"[0-9a-f]{64}")
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_PICTURE = re.compile(
    rf"(?:https?://[^\s?#]*)?(?:/v1/jobs/)?({_UUID})(?:/images/(\d{{1,3}})/iterates/(latest|\d{{1,6}}))?"
)
_DATA = re.compile(r"data:([a-zA-Z0-9.+/*-]*)((?:;[a-zA-Z0-9=._-]+)*),")
UNKNOWN = (
    "is no picture: give the id of an upload, the address of a job's picture (/v1/jobs/ID/images/0/iterates/latest), "
    "or a data URL (data:image/png;base64,...)"
)


class TakenIn(NamedTuple):
    """A request with its pictures named by their digests, and these."""

    request: dict[str, Any]
    pictures: Mapping[str, bytes]


async def take_in(
    services: Services,
    caller: Caller,
    request: Mapping[str, Any],
    given: Mapping[str, Upload] | None = None,
    card: ModelCard | None = None,
    references: Sequence[Upload] = (),
) -> TakenIn:
    """Read the pictures of a request. A size that is left out becomes that of the picture.

    Args:
        request: with `image`, `mask` and `references` as clients give them.
        given: an `image` and a `mask` that came with the request as they are, in place of what it says.
        card: the model, if the request has another name for it.
        references: that came with the request, likewise.

    Raises:
        InvalidFields: something is wrong with a picture.
    """
    made, found, problems = dict(request), dict[str, Upload](given or {}), list[FieldProblem]()
    card = card or _card(services, request)
    for name in NAMES:
        if name in found or made.get(name) is None:
            continue
        if card is not None and not GENERATION[name].taken_by(card.terms):
            continue  # the model refuses it, whatever it is
        try:
            found[name] = await _read(services, caller, made[name])
        except NotAPicture as error:
            problems.append(FieldProblem(name, Code.VALUE, str(error)))
    looked_at = list(references)
    named = request.get("references")
    if isinstance(named, list) and not references and (card is None or GENERATION["references"].taken_by(card.terms)):
        for number, value in enumerate(cast("list[Any]", named[: MOST_REFERENCES + 1]), 1):
            try:
                looked_at.append(await _read(services, caller, value))
            except NotAPicture as error:
                problems.append(FieldProblem("references", Code.VALUE, f"(picture {number}) {error}"))
    if not problems and "mask" in found and "image" in found:
        problems += await _mask_problems(found["image"], found["mask"])
    if problems:
        raise InvalidFields(problems)
    made |= {name: picture.sha256 for name, picture in found.items()}
    if looked_at:
        made["references"] = [picture.sha256 for picture in looked_at]
    pictures = [*found.values(), *looked_at]
    shape = found.get("image") or (looked_at[0] if looked_at else None)
    if shape and card is not None and made.get("width") is None and made.get("height") is None:
        made |= fitted(shape, card)
    return TakenIn(made, {picture.sha256: picture.png for picture in pictures})


def fitted(picture: Upload, card: ModelCard) -> dict[str, int]:
    """The size of a picture that the model makes in the shape of this one, of about as many pixels as by default."""
    limits, usual = card.limits, card.defaults
    if all(nearest_side(side, limits) == side for side in (picture.width, picture.height)):
        area = picture.width * picture.height
        if area <= 2 * usual.width * usual.height:
            return {"width": picture.width, "height": picture.height}
    scale = (usual.width * usual.height / (picture.width * picture.height)) ** 0.5
    sides = {"width": picture.width * scale, "height": picture.height * scale}
    return {name: nearest_side(side, limits) for name, side in sides.items()}


def _card(services: Services, request: Mapping[str, Any]) -> ModelCard | None:
    name = request.get("model")
    if name is None:
        return services.catalog.default
    return services.catalog.get(name) if isinstance(name, str) else None


async def _mask_problems(image: Upload, mask: Upload) -> list[FieldProblem]:
    if (mask.width, mask.height) != (image.width, image.height):
        size = f"{image.width} x {image.height}"
        message = f"must have the size of the image, {size} pixels; it has {mask.width} x {mask.height}"
        return [FieldProblem("mask", Code.CONFLICT, message)]
    if not await taken.in_thread(taken.paints, mask.png):
        message = "paints nothing: it must be white, or transparent, where the picture is to change"
        return [FieldProblem("mask", Code.VALUE, message)]
    return []


async def _read(services: Services, caller: Caller, value: Any) -> Upload:
    """A picture by what a request says.

    Raises:
        NotAPicture: there is none.
    """
    limits = limits_of(services)
    if not isinstance(value, str):
        raise NotAPicture(UNKNOWN)
    if data := _DATA.match(value[:200]):
        return await taken.take(_decoded(value, data), limits, data[1])
    if _ID.fullmatch(value):
        return await _upload(services, caller, value)
    if picture := _PICTURE.fullmatch(value[:1000]):
        number = None if picture[3] in (None, "latest") else int(picture[3])
        return await _of_job(services, caller, UUID(picture[1]), int(picture[2] or 0), number)
    raise NotAPicture(UNKNOWN)


def limits_of(services: Services) -> taken.Limits:
    """What a picture may have here."""
    return taken.Limits(services.settings.max_upload_bytes, services.settings.max_upload_pixels)


def _decoded(value: str, data: "re.Match[str]") -> bytes:
    if ";base64" not in data[2]:
        raise NotAPicture("is a data URL without base64: write data:image/png;base64,...")
    try:
        return b64decode(value[data.end() :], validate=True)
    except ValueError as error:
        raise NotAPicture("is a data URL that is no base64") from error


async def _upload(services: Services, caller: Caller, digest: str) -> Upload:
    async with services.reading() as session:
        row = (await session.execute(inputs.uploaded(caller.key_id, digest))).one_or_none()
        row = row or (await session.execute(inputs.used(caller.key_id, digest))).one_or_none()
    png = await kept(services, PictureId(row[0], digest), row[1]) if row else None
    if png is None:
        raise NotAPicture("is the id of no upload of yours: it has expired, or never was; send the picture again")
    return Upload(digest, png, *taken.size(png))


async def kept(services: Services, picture: PictureId, inline: bytes | None) -> bytes | None:
    """The bytes of an upload or an input.

    Raises:
        PicturesUnavailable: they cannot be read now.
    """
    if inline is not None:
        return inline
    return await taken.in_thread(services.pictures.load, picture)


async def _of_job(services: Services, caller: Caller, job: UUID, image: int, iterate: int | None) -> Upload:
    async with services.reading.begin() as session:
        await _check_owner(session, caller, job)
        try:
            found = await find_picture(session, job, image, iterate)
        except Problem as missing:
            raise NotAPicture(f"is no picture that can be had: {missing.detail}") from missing
    try:
        png = await read_picture(services, job, image, found)
    except Problem as missing:
        raise NotAPicture(f"is no picture that can be had: {missing.detail}") from missing
    return Upload(found.etag, png, *taken.size(png))


async def _check_owner(session: AsyncSession, caller: Caller, job: UUID) -> None:
    row = await session.scalar(reads.job(job))
    if row is None or not (caller.sees_all or row.key_id == caller.key_id):
        raise NotAPicture(f"is the picture of no job of yours: there is no job {job}")
