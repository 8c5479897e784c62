"""The models on offer, as JSON."""

from collections.abc import Mapping
from typing import Literal

from api.http.body import Sent
from contract.fields import Defaults, Limits
from contract.form import FormField, form
from store.catalog import Catalog, ModelCard
from store.workers import ModelInfo, ModelState


class ModelEntry(Sent):
    """A model as OpenAI's clients list it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """When the catalogue was changed last, in seconds since 1970."""
    owned_by: Literal["underpaint"] = "underpaint"


class Loaded(Sent):
    """What a model does in the worker that is the furthest with it."""

    state: ModelState
    """`absent`: not in memory, it is loaded for its first job; `waiting`: for other models to make room; `preparing`:
    it is being loaded; `ready`: it is in memory; `failed`: the last attempt to load it did."""
    share: float | None
    """How much of a model that is being loaded is in memory, from 0 to 1."""
    error: str | None
    """Why it could not be loaded."""


class Model(ModelEntry):
    """A model on offer."""

    title: str
    description: str
    license: str
    default: bool
    """Whether it is the model of requests that name none."""
    loaded: Loaded | None
    """Null if no worker that offers it is known to be there."""
    defaults: Defaults
    """What a request gets that leaves a field out."""
    limits: Limits
    """What a request may ask for. Sizes are pixels and hold for width and height."""
    loras: list[str]
    """The names of the LoRA that a request may have."""
    fields: list[FormField]
    """The fields that a request to this model may have."""
    example_prompts: list[str]


class Models(Sent):
    """The models on offer, the default first."""

    models: list[Model]
    object: Literal["list"] = "list"
    data: list[ModelEntry]
    """The same models, for OpenAI's clients."""


def models(catalog: Catalog, states: Mapping[str, ModelInfo]) -> Models:
    """The models on offer; ``states``: see ``store.workers.model_states``."""
    entries = [ModelEntry(id=name, created=catalog.changed) for name in catalog]
    return Models(models=[model(catalog, card, states.get(card.id)) for card in catalog.values()], data=entries)


def model(catalog: Catalog, card: ModelCard, state: ModelInfo | None) -> Model:
    """One model on offer."""
    return Model(
        id=card.id,
        created=catalog.changed,
        title=card.title,
        description=card.description,
        license=card.license,
        default=card is catalog.default,
        loaded=None if state is None else Loaded(state=state.state, share=state.share, error=state.error),
        defaults=card.defaults,
        limits=card.limits,
        loras=list(card.lora_files),
        fields=form(card.terms),
        example_prompts=card.example_prompts,
    )
