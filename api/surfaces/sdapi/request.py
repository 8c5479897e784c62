"""A request of A1111's API as a job of this server."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.problems import NoSuchModel
from contract.annotations import Text
from contract.fields import MAX_SEED, Generation, Handling
from contract.fitting import cut_prompt, nearest_side, not_made
from contract.infotext import AUTOMATIC, solver_of
from contract.problems import InvalidFields, of_validation
from contract.table import GENERATION
from contract.warnings import Warning
from store.catalog import Catalog, ModelCard
from store.requests import resolve_request

_WITHOUT_EFFECT = {
    "enable_hr": "there is no second pass",
    "restore_faces": "faces are not restored",
    "tiling": "pictures are not made to tile",
    "styles": "there are no styles",
    "script_name": "there are no scripts",
    "alwayson_scripts": "there are no scripts",
}
# Our fields whose problems are told by another name.
_THEIRS = {"image": "init_images", "strength": "denoising_strength", "guidance_scale": "cfg_scale"}
_LORA = re.compile(r"\s*<lora:([^:<>]+)(?::(-?[0-9.]+))?[^<>]*>")
_HASH = re.compile(r"\s*\[[0-9a-f]+\]$")


class Fields(BaseModel):
    """The fields that have an effect. Their values may be of a wrong type that can be converted, as in A1111."""

    model_config = ConfigDict(extra="ignore")

    prompt: Text = ""
    negative_prompt: Text | None = None
    steps: float | None = None
    cfg_scale: float | None = None
    width: float | None = None
    height: float | None = None
    seed: int | None = None
    batch_size: int | None = Field(default=None, ge=1)
    n_iter: int | None = Field(default=None, ge=1)
    sampler_name: str | None = None
    sampler_index: str | None = None
    scheduler: str | None = None
    eta: float | None = None
    send_images: bool | None = None
    override_settings: dict[str, Any] | None = None


Given = TypeVar("Given", bound=BaseModel)


@dataclass(frozen=True)
class Wanted:
    """A request, checked.

    Attributes:
        generation, handling: the job.
        warnings: what was changed to fit the model, and what does nothing.
        send: whether the pictures are wanted in the response.
        pictures: that the job starts from, see ``api.pictures.intake``.
    """

    generation: Generation
    handling: Handling
    warnings: list[Warning]
    send: bool
    pictures: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


def parse(fields: type[Given], request: Mapping[str, Any]) -> Given:
    """Some fields of a request; null counts as left out.

    Raises:
        InvalidFields: values of a wrong type.
    """
    try:
        return fields.model_validate({name: value for name, value in request.items() if value is not None})
    except ValidationError as error:
        raise InvalidFields(of_validation(error)) from None


def read(
    catalog: Catalog, request: Mapping[str, Any], begin: Mapping[str, str] | None = None, strength: float = 1
) -> Wanted:
    """Check a request.

    Args:
        catalog: the models on offer.
        request: the body.
        begin: the digests of the pictures that the job starts from: `image`, and perhaps `mask`.
        strength: how much of them changes.

    Raises:
        NoSuchModel: `override_settings` names a model that is not on offer.
        InvalidFields: with every other problem of the request at once.
    """
    fields = parse(Fields, request)
    card = model_of(catalog, fields)
    warnings = without_effect(request, _WITHOUT_EFFECT)
    loras = _loras(card, fields, warnings)
    made = {"model": card.id, **loras, **_fitted(card, fields, warnings), **_sampler(card, fields, warnings)}
    if begin:
        made |= {**begin, "strength": _strength(card, strength, made.get("steps"), warnings)}
    try:
        generation, handling = resolve_request(catalog, made)
    except InvalidFields as error:
        raise InvalidFields(
            [replace(each, field=_THEIRS.get(each.field, each.field)) for each in error.problems]
        ) from None
    return Wanted(generation, handling, warnings, fields.send_images is not False)


def without_effect(request: Mapping[str, Any], why: Mapping[str, str]) -> list[Warning]:
    """Warnings about fields that a request has and that do nothing. ``why``: the reason for each."""
    return [Warning(field=name, message=f"does nothing: {reason}") for name, reason in why.items() if request.get(name)]


def model_of(catalog: Catalog, fields: Fields) -> ModelCard:
    """The model that the request names. Names may have the ending and the hash that A1111's titles have."""
    asked = (fields.override_settings or {}).get("sd_model_checkpoint")
    if not isinstance(asked, str) or not asked.strip():
        return catalog.default
    plain = _HASH.sub("", asked.strip())
    for name in (plain, plain.rpartition(".")[0]):
        if card := catalog.named(name):
            return card
    raise NoSuchModel.called(asked, catalog)


def _strength(card: ModelCard, asked: float, steps: int | None, warnings: list[Warning]) -> float:
    """The nearest strength of which a step is left."""
    made = min(max(asked, 1 / (steps or card.defaults.steps)), 1.0)
    if made != asked:
        warnings.append(not_made("denoising_strength", card.id, f"{made:.3g}"))
    return made


def _loras(card: ModelCard, fields: Fields, warnings: list[Warning]) -> dict[str, Any]:
    """The LoRA that the prompt names as ``<lora:NAME:SCALE>``, which are taken out of it."""
    scales: dict[str, float] = {}
    for name, scale in _LORA.findall(fields.prompt):
        try:
            scales[name] = float(scale or 1)
        except ValueError:
            scales[name] = 1.0
    fields.prompt = _LORA.sub("", fields.prompt).strip()
    known = {lora.name for lora in card.loras}
    warnings += [
        Warning(field="prompt", message=f"names the LoRA {name[:100]}, which {card.id} does not have")
        for name in scales
        if name not in known
    ]
    found = [{"name": name, "scale": scale} for name, scale in scales.items() if name in known]
    return {"loras": found} if found else {}


def _fitted(card: ModelCard, fields: Fields, warnings: list[Warning]) -> dict[str, Any]:
    """The fields of the job that have a counterpart, in the limits of the model."""
    limits = card.limits
    made: dict[str, Any] = {}
    for name in ("prompt", "negative_prompt"):
        if (text := getattr(fields, name)) is not None:
            made[name], cut = cut_prompt(name, text, card.id, limits)
            warnings += cut
    for name in ("width", "height"):
        if (side := getattr(fields, name)) is not None:
            made[name] = nearest_side(side, limits)
            if made[name] != side:
                warnings.append(not_made(name, card.id, made[name]))
    for name, ours in (("steps", "steps"), ("cfg_scale", "guidance_scale")):
        if (value := getattr(fields, name)) is not None:
            bounds = GENERATION[ours].bounds(limits)
            near = max(bounds.least or 0, min(value, bounds.most or value))
            made[ours] = int(near) if ours == "steps" else float(near)
            if made[ours] != value:
                warnings.append(not_made(name, card.id, f"{made[ours]:g}"))
    asked = (fields.batch_size or 1) * (fields.n_iter or 1)
    made["images"] = min(asked, limits.max_images)
    if made["images"] < asked:
        message = f"times n_iter is {made['images']}, the most that {card.id} makes at once"
        warnings.append(Warning(field="batch_size", message=message))
    if fields.seed is not None and fields.seed >= 0:
        made["seed"] = fields.seed % (MAX_SEED + 2 - made["images"])
        if made["seed"] != fields.seed:
            warnings.append(Warning(field="seed", message=f"is {made['seed']}: it was too large"))
    return made


def _sampler(card: ModelCard, fields: Fields, warnings: list[Warning]) -> dict[str, Any]:
    """The solver of the job, if the request names one that the model takes."""
    asked = fields.sampler_name or fields.sampler_index or AUTOMATIC
    solver = solver_of(asked)
    if solver not in GENERATION["solver"].choices_for(card.terms):
        if asked.lower() != AUTOMATIC.lower():
            warnings.append(Warning(field="sampler_name", message=f"does nothing: {card.id} takes its own solver"))
        return {}
    if (fields.scheduler or AUTOMATIC).lower() != AUTOMATIC.lower():
        warnings.append(Warning(field="scheduler", message=f"does nothing: {card.id} has its own schedule"))
    eta = min(max(fields.eta or 0.0, 0.0), 1.0)
    return {"solver": solver, "eta": eta} if solver == "ddim" and eta else {"solver": solver}
