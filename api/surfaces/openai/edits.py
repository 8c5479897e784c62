"""OpenAI's routes that take pictures: edits and variations. Their bodies are forms with files.

A picture is changed as `POST /v1/jobs` does it: the part under the mask is painted anew, or, without one, all of it
from its noised latents. A mask is transparent where it paints, and so is a picture without a mask. A model that looks
at pictures (`references`) looks at all that are sent.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

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
from contract.fields import LOOKING
from contract.problems import Code, FieldProblem, InvalidFields
from contract.table import FIELDS
from store.catalog import ModelCard
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
    card = card_of(services.catalog, body, services.settings.openai_names)
    given, references = await _given(services, form, card)
    sized = {"width": 0, "height": 0} if "size" in body else {}  # it decides
    request_, pictures = await take_in(services, caller, {**body, **sized}, given, card, references)
    request_ = {name: value for name, value in request_.items() if name not in sized}
    wanted = read(services.catalog, request_, services.targets, services.settings.openai_names)
    wanted = replace(wanted, pictures=pictures, event="image_edit")
    retries = request.headers.get("x-stainless-retry-count")
    # The digests of the pictures are in what is compared with earlier requests.
    attempt = Attempt(caller, request_, key, None if retries is None else digits(retries, MOST_RETRIES))
    return await answer(request, services, caller, links, wanted, attempt)


class Given(NamedTuple):
    """The pictures of a form: an `image` to begin with and a `mask`, and those that the model looks at."""

    begin: dict[str, Upload]
    references: Sequence[Upload]


async def _given(services: Services, form: Form, card: ModelCard) -> Given:
    """The pictures of a form. A model that looks at pictures looks at all of them; others begin with one.

    Raises:
        InvalidFields: there is none, or there are too many, or something is wrong with one.
    """
    looks = LOOKING.get(card.terms.kind or "")
    found, problems = dict[str, list[Upload]](), list[FieldProblem]()
    for name in ("image", "mask"):
        files = form.files.get(name, [])
        most = looks if looks and name == "image" else 1
        if len(files) > most:
            message = f"may be at most {most} for model {card.id}, and {len(files)} were sent"
            problems.append(FieldProblem(name, Code.VALUE, message))
        elif not files and name == "image":
            problems.append(FieldProblem(name, Code.MISSING, "is required: the picture that is changed, as a file"))
        else:
            for file in files:
                try:
                    picture = await taken.take(file.data, limits_of(services), file.media_type)
                    found.setdefault(name, []).append(picture)
                except NotAPicture as error:
                    problems.append(FieldProblem(name, Code.VALUE, str(error)))
    if problems:
        raise InvalidFields(problems)
    if looks:
        # A mask is refused as a field that the model does not take.
        return Given({name: files[0] for name, files in found.items() if name == "mask"}, found["image"])
    begin = {name: files[0] for name, files in found.items()}
    if "mask" not in begin and await taken.in_thread(taken.has_holes, begin["image"].png):
        begin["mask"] = await taken.in_thread(taken.mask_from_holes, begin["image"].png)
    return Given(begin, ())


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
