"""A request of OpenAI's image API as a job of this server, and the format of its response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.encoding.formats import PNG, Format
from api.problems import NoSuchModel
from contract.fields import Generation, Handling
from contract.fitting import cut_prompt, nearest_side, not_made
from contract.problems import Code, FieldProblem, InvalidFields, of_pydantic
from contract.warnings import Warning
from store.catalog import Catalog, ModelCard
from store.requests import PUBLIC, resolve_request
from store.targets import Targets

MOST_PARTIALS = 3
BUILT_IN = ("dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1-mini")
"""The names of models that clients have built in."""

BY_ADDRESS = "dall-e-"
"""Clients of models that are called so read the address of the picture, unless they ask for the picture itself."""

_SIZE = r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$"
_FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


class Fields(BaseModel):
    """OpenAI's own fields. All others, and `prompt` and `model`, are those of `POST /v1/jobs`."""

    model_config = ConfigDict(extra="allow", strict=True, use_attribute_docstrings=True)

    n: int | None = Field(default=None, ge=1)
    """How many pictures to make; 1 with `stream`. By default 1."""
    size: Annotated[str, Field(pattern=_SIZE)] | None = None
    """`WIDTHxHEIGHT` in pixels. By default `auto`: the default size of the model."""
    response_format: Literal["b64_json", "url"] | None = None
    """`url` returns the address of the picture on this server instead of the picture itself: a PNG, or what the
    `Accept` header of that request prefers. It can be fetched without a key for an hour. By default `b64_json`, and
    `url` for models that are called `dall-e-2` or `dall-e-3`, as OpenAI does."""
    output_format: Literal["png", "jpeg", "webp"] | None = None
    """By default `png`, which is exact."""
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    """The quality of a `jpeg` or `webp`, from 0 to 100. By default 100, the best."""
    background: Literal["opaque", "auto", "transparent"] | None = None
    """Pictures are opaque. `transparent` is refused with `strict`, and has no effect without."""
    stream: bool | None = None
    """Whether to stream events: first up to `partial_images` whole pictures that get sharper, then the finished
    one."""
    partial_images: Annotated[int, Field(ge=0, le=MOST_PARTIALS)] | None = None
    """The most partial images to stream. Each is an iterate; they are spread over the rounds of the job. If there are
    fewer iterates, there are fewer partial images. By default 0."""
    quality: str | None = None
    """Ignored: `steps` and `tolerance` decide how good a picture is."""
    style: str | None = None
    """Ignored."""
    moderation: str | None = None
    """Ignored: nothing is moderated."""
    complexity: str | None = None
    """Ignored."""
    input_fidelity: str | None = None
    """Ignored: `strength` says how much of a picture is kept."""
    strict: bool | None = None
    """Whether to refuse a `size` that the model cannot make, a `prompt` that is too long, and a transparent
    `background`. By default the nearest size is made, the prompt is cut and the picture opaque, and `warnings` says
    so."""
    user: str | None = None
    """Ignored, and not kept."""
    safety_identifier: str | None = None
    """Ignored, and not kept."""


@dataclass(frozen=True)
class Wanted:
    """A request, checked.

    Attributes:
        generation, handling: the job.
        form: the format of its pictures.
        url: whether to send the addresses of the pictures instead.
        partials: the most partial images to stream; None: no stream.
        quality: what it asked for, to be repeated in the answer.
        warnings: about what was changed to fit the model.
        pictures: that the job starts from, see ``api.pictures.intake``.
        event: what the names of a stream's events begin with.
    """

    generation: Generation
    handling: Handling
    form: Format
    url: bool
    partials: int | None
    quality: str | None = None
    warnings: Sequence[Warning] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    event: Literal["image_generation", "image_edit"] = "image_generation"

    @property
    def size(self) -> str:
        """The size, as responses show it."""
        return f"{self.generation.width}x{self.generation.height}"


def read(catalog: Catalog, request: Mapping[str, Any], targets: Targets = PUBLIC, built_in: bool = True) -> Wanted:
    """Check a request.

    Args:
        catalog: the models on offer.
        request: the body.
        targets: where its webhook may go.
        built_in: whether the names that clients have built in mean the first model.

    Raises:
        NoSuchModel: it names a model that is not on offer.
        InvalidFields: with every other problem of the request at once.
    """
    card, model = card_of(catalog, request, built_in), request.get("model")
    if isinstance(model, str):
        request = {**request, "model": card.id}
    fields, found = _fields(request)
    found += _conflicts(fields, request)
    rest = {field: value for field, value in request.items() if field not in Fields.model_fields}
    if rest.pop("images", None) is not None:
        found.append(FieldProblem("images", Code.UNKNOWN, "is called n here: leave it out"))
    size: dict[str, int] = (
        {} if fields.size in (None, "auto") else dict(zip(("width", "height"), _pixels(fields.size), strict=True))
    )
    warnings: list[Warning] = []
    if fields.background == "transparent":
        message = "the models paint no transparent pictures"
        if fields.strict:
            found.append(FieldProblem("background", Code.CHOICE, f"must be opaque or auto: {message}"))
        else:
            warnings.append(Warning(field="background", message=f"is opaque: {message}"))
    if not fields.strict:
        size, rest = _fitted(card, size, rest, warnings)
    try:
        generation, handling = resolve_request(catalog, {**rest, **size, "images": fields.n}, targets)
    except InvalidFields as error:
        raise InvalidFields([*(_named(each, size) for each in error.problems), *found]) from None
    if found:
        raise InvalidFields(found)
    partials = (fields.partial_images or 0) if fields.stream else None
    url = fields.response_format == "url" or (
        fields.response_format is None
        and str(model).startswith(BY_ADDRESS)
        and fields.output_format in (None, "png")
        and not fields.stream
    )
    return Wanted(generation, handling, _form(fields), url, partials, fields.quality, warnings)


def card_of(catalog: Catalog, request: Mapping[str, Any], built_in: bool = True) -> ModelCard:
    """The model that a request names; the first one if it names none.

    Raises:
        NoSuchModel: it is not on offer.
    """
    if not isinstance(model := request.get("model"), str):
        return catalog.default
    named = catalog.named(model) or (catalog.default if built_in and model in BUILT_IN else None)
    if named is None:
        raise NoSuchModel.called(model, catalog)
    return named


def _fitted(
    card: ModelCard, size: dict[str, int], rest: dict[str, Any], warnings: list[Warning]
) -> tuple[dict[str, int], dict[str, Any]]:
    """The nearest size that the model makes, and a prompt of a length that it takes. Adds a warning for each change."""
    fitting = {name: nearest_side(side, card.limits) for name, side in size.items()}
    if fitting != size:
        warnings.append(not_made("size", card.id, f"{fitting['width']}x{fitting['height']}"))
    if isinstance(prompt := rest.get("prompt"), str):
        prompt, cut = cut_prompt("prompt", prompt, card.id, card.limits)
        rest = {**rest, "prompt": prompt}
        warnings += cut
    return fitting, rest


def _named(problem: FieldProblem, size: Mapping[str, int]) -> FieldProblem:
    """A problem of our field as one of OpenAI's: width and height are ``size`` if that was given."""
    if problem.field in size:
        return FieldProblem("size", problem.code, f"({problem.field}) {problem.message}")
    return replace(problem, field="n") if problem.field == "images" else problem


def _fields(request: Mapping[str, Any]) -> tuple[Fields, list[FieldProblem]]:
    """OpenAI's fields without the invalid ones, and what is wrong with those."""
    given = {field: request[field] for field in Fields.model_fields if request.get(field) is not None}
    try:
        return Fields.model_validate(given), []
    except ValidationError as error:
        found = {str(each["loc"][0]): each for each in error.errors(include_url=False)}
    problems = {name: of_pydantic(name, each) for name, each in found.items()}
    messages = {
        "size": "must be auto, or WIDTHxHEIGHT in pixels, as 512x512",
    }
    problems |= {name: replace(problems[name], message=messages[name]) for name in messages.keys() & problems.keys()}
    return Fields.model_validate({name: given[name] for name in given.keys() - found.keys()}), list(problems.values())


def _conflicts(fields: Fields, request: Mapping[str, Any]) -> list[FieldProblem]:
    """Fields that exclude each other."""
    url, form = fields.response_format == "url", fields.output_format or "png"
    partials = fields.partial_images or 0
    sized = fields.size is not None and any(request.get(side) is not None for side in ("width", "height"))
    rules = {
        ("n", "must be 1 with stream: ask for each picture on its own"): fields.stream and (fields.n or 1) > 1,
        ("partial_images", "must be 0 without stream: set stream to true"): partials and not fields.stream,
        ("partial_images", "must be 0 with previews off"): partials and request.get("previews") is False,
        ("response_format", "must be b64_json with stream"): fields.stream and url,
        ("output_format", "must be png with url: the Accept header says in which format it is sent"): url
        and form != "png",
        ("output_compression", "must be 100 for png, which loses nothing"): form == "png"
        and (fields.output_compression or 100) < 100,
        ("size", "must be left out if width or height is given"): sized,
    }
    return [FieldProblem(name, Code.CONFLICT, message) for (name, message), broken in rules.items() if broken]


def _pixels(size: str | None) -> list[int]:
    return [int(side) for side in (size or "").split("x")]


def _form(fields: Fields) -> Format:
    name = fields.output_format or "png"
    if name == "png":
        return PNG
    quality = 100 if fields.output_compression is None else fields.output_compression
    return Format(_FORMATS[name], name, {"quality": quality})
