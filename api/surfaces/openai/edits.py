"""OpenAI's routes that take pictures: edits and variations. Their bodies are forms with files.

A picture is changed as `POST /v1/jobs` does it: the part under the mask is painted anew, or, without one, all of it
from its noised latents. A mask is transparent where it paints, and so is a picture without a mask.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response

from api.auth.caller import Caller
from api.guard import WithCaller
from api.http.form import Form, is_form, read_form
from api.http.headers import IdempotencyKey, digits
from api.links import Links
from api.pictures import taken
from api.pictures.intake import limits_of, take_in
from api.pictures.taken import NotAPicture
from api.problems import NotAForm
from api.services import Services, WithLinks, WithServices
from api.surfaces.openai.attempts import Attempt
from api.surfaces.openai.request import Fields, card_of, read
from api.surfaces.openai.routes import MOST_RETRIES, answer
from contract.problems import Code, FieldProblem, InvalidFields
from contract.table import FIELDS
from store.inputs import Upload

MOST_IMAGES = 16  # as OpenAI takes them
# What a variation shows, if the request does not say; a prompt must not be empty.
PROMPT = "a picture"

router = APIRouter(include_in_schema=False)


@router.post("/images/edits")
@router.post("/v1/images/edits")
async def edit_image(
    request: Request,
    services: WithServices,
    caller: WithCaller,
    links: WithLinks,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Changes a picture as the prompt says, and responds as the generation of pictures does."""
    return await _run(request, services, caller, links, idempotency_key, {})


@router.post("/images/variations")
@router.post("/v1/images/variations")
async def vary_image(
    request: Request,
    services: WithServices,
    caller: WithCaller,
    links: WithLinks,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Paints pictures like one, without a prompt."""
    return await _run(request, services, caller, links, idempotency_key, {"prompt": PROMPT})


async def _run(
    request: Request, services: Services, caller: Caller, links: Links, key: str | None, defaults: dict[str, Any]
) -> Response:
    if not is_form(request):
        raise NotAForm(NotAForm.example)
    form = await read_form(request, ("image", "mask"), MOST_IMAGES + 1)
    body = defaults | {name: _value(name, text) for name, text in form.fields.items()}
    if body.get("size") == "auto":
        del body["size"]  # that of the picture
    given = await _given(services, form)
    card = card_of(services.catalog, body, services.settings.openai_names)
    sized = {"width": 0, "height": 0} if "size" in body else {}  # it decides
    request_, pictures = await take_in(services, caller, {**body, **sized}, given, card)
    request_ = {name: value for name, value in request_.items() if name not in sized}
    wanted = read(services.catalog, request_, services.targets, services.settings.openai_names)
    wanted = replace(wanted, pictures=pictures, event="image_edit")
    retries = request.headers.get("x-stainless-retry-count")
    # The digests of the pictures are in what is compared with earlier requests.
    attempt = Attempt(caller, request_, key, None if retries is None else digits(retries, MOST_RETRIES))
    return await answer(request, services, caller, links, wanted, attempt)


async def _given(services: Services, form: Form) -> Mapping[str, Upload]:
    """The picture and the mask of a form.

    Raises:
        InvalidFields: there is none, or more than one, or something is wrong with it.
    """
    found, problems = dict[str, Upload](), list[FieldProblem]()
    for name in ("image", "mask"):
        files = form.files.get(name, [])
        if len(files) > 1:
            message = f"must be one: the models here combine no pictures, and {len(files)} were sent"
            problems.append(FieldProblem(name, Code.VALUE, message))
        elif files:
            try:
                found[name] = await taken.take(files[0].data, limits_of(services), files[0].media_type)
            except NotAPicture as error:
                problems.append(FieldProblem(name, Code.VALUE, str(error)))
        elif name == "image":
            problems.append(FieldProblem(name, Code.MISSING, "is required: the picture that is changed, as a file"))
    if problems:
        raise InvalidFields(problems)
    if "mask" not in found and await taken.in_thread(taken.has_holes, found["image"].png):
        found["mask"] = await taken.in_thread(taken.mask_from_holes, found["image"].png)
    return found


_OWN = {name: field.annotation for name, field in Fields.model_fields.items()}


def _value(name: str, text: str) -> Any:
    """The value of a field of a form, of the type that the field has; the text if it is none."""
    kind = str(_OWN[name]) if name in _OWN else FIELDS[name].type if name in FIELDS else ""
    if any(word in kind for word in ("int", "number", "bool")):
        try:
            return json.loads(text.lower())
        except ValueError:
            return text
    return text
