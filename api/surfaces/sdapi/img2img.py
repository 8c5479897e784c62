"""Image to image: the requests of A1111's `img2img`, which may have a mask."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.guard import WithCaller
from api.http.body import JsonBody, is_json
from api.pictures import taken
from api.pictures.intake import fitted, limits_of, take_in
from api.pictures.taken import NotAPicture
from api.services import Services, WithLinks, WithServices
from api.surfaces.sdapi import originals, request, txt2img
from contract.fitting import nearest_side
from contract.problems import Code, FieldProblem, InvalidFields
from contract.table import GENERATION
from contract.warnings import Warning
from store.catalog import ModelCard
from store.inputs import Upload

COVERED, ORIGINAL = range(2)
"""The values of ``inpainting_fill`` that are taken."""

# What of a mask's fields does nothing.
_OF_MASK = {
    "mask_blur": "a mask has a hard edge",
    "mask_blur_x": "a mask has a hard edge",
    "mask_blur_y": "a mask has a hard edge",
    "inpaint_full_res": "the whole picture is painted, not the part under the mask alone",
}

router = APIRouter(prefix="/sdapi/v1", include_in_schema=False)


class Fields(BaseModel):
    """The fields that `txt2img` does not have, as far as they have an effect."""

    model_config = ConfigDict(extra="ignore")

    init_images: list[str] = []
    mask: str | None = None
    denoising_strength: float = 0.75
    resize_mode: int = Field(default=originals.STRETCH, ge=originals.STRETCH, le=originals.STRETCH_LATENTS)
    inpainting_fill: int = COVERED
    inpainting_mask_invert: bool = False
    include_init_images: bool = False


@router.post("/img2img", dependencies=[Depends(is_json)])
async def img2img(
    body: JsonBody, request_: Request, services: WithServices, caller: WithCaller, links: WithLinks
) -> Response:
    """Submits a job that begins with a picture and responds when it has ended, as `txt2img` does."""
    fields = request.parse(Fields, body)
    common = request.parse(request.Fields, body)
    card = request.model_of(services.catalog, common)
    if not GENERATION["image"].taken_by(card.terms):
        raise InvalidFields([FieldProblem("init_images", Code.CONFLICT, f"is not taken by model {card.id}")])
    sent = await _sent(services, fields)
    size = _size(common, sent["image"], card)
    begin = await taken.in_thread(
        lambda: originals.begin(
            sent["image"],
            sent.get("mask"),
            (size["width"], size["height"]),
            fields.resize_mode,
            invert=fields.inpainting_mask_invert,
            cover=fields.inpainting_fill == COVERED,
        )
    )
    names, pictures = await take_in(services, caller, {}, begin, card)
    digests = {name: names[name] for name in begin}
    # The size that was asked for is what the warnings are about.
    asked = {name: value for name, value in body.items() if value is not None}
    wanted = request.read(services.catalog, size | asked, digests, fields.denoising_strength)
    wanted = replace(wanted, pictures=pictures, warnings=[*wanted.warnings, *_warnings(fields, body)])
    shown = {} if fields.include_init_images else {"init_images": None, "mask": None}
    return await txt2img.run(request_, services, caller, links, wanted, body | shown)


async def _sent(services: Services, fields: Fields) -> dict[str, Upload]:
    """The pictures of a request.

    Raises:
        InvalidFields: there is none, or something is wrong with them.
    """
    given: Mapping[str, tuple[str, str | None]] = {
        "image": ("init_images", next(iter(fields.init_images), None)),
        "mask": ("mask", fields.mask or None),
    }
    found, problems = dict[str, Upload](), list[FieldProblem]()
    for name, (theirs, value) in given.items():
        if value is None:
            continue
        try:
            found[name] = await taken.take(_decoded(value), limits_of(services))
        except NotAPicture as error:
            problems.append(FieldProblem(theirs, Code.VALUE, str(error)))
    if not fields.init_images:
        problems.append(FieldProblem("init_images", Code.MISSING, "is required: a picture to begin with, in base64"))
    if problems:
        raise InvalidFields(problems)
    return found


def _decoded(value: str) -> bytes:
    data = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return b64decode("".join(data.split()), validate=True)
    except ValueError as error:
        raise NotAPicture("is no picture in base64") from error


def _size(common: request.Fields, picture: Upload, card: ModelCard) -> dict[str, int]:
    """The size that is made: the nearest one to that of the request, or to the shape of the picture."""
    if common.width is None and common.height is None:
        return fitted(picture, card)
    asked = {"width": common.width, "height": common.height}
    return {
        name: getattr(card.defaults, name) if side is None else nearest_side(side, card.limits)
        for name, side in asked.items()
    }


def _warnings(fields: Fields, body: Mapping[str, Any]) -> list[Warning]:
    found = list[Warning]()
    if len(fields.init_images) > 1:
        found.append(Warning(field="init_images", message="has more than one picture: the first is taken"))
    if fields.resize_mode == originals.STRETCH_LATENTS:
        message = f"is {originals.STRETCH}: pictures are scaled, not latents"
        found.append(Warning(field="resize_mode", message=message))
    if fields.mask:
        found += request.without_effect(body, _OF_MASK)
        if fields.inpainting_fill not in (COVERED, ORIGINAL):
            message = f"is {ORIGINAL}: painting begins with the noised picture"
            found.append(Warning(field="inpainting_fill", message=message))
    return found
