"""The models on offer, as JSON."""

from typing import Literal

from api.http.body import Sent
from contract.fields import Defaults, Limits
from contract.form import FormField, form
from store.catalog import Catalog, ModelCard


class ModelEntry(Sent):
    """A model as OpenAI's clients list it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """When the catalogue was changed last, in seconds since 1970."""
    owned_by: Literal["underpaint"] = "underpaint"


class Model(ModelEntry):
    """A model on offer."""

    title: str
    description: str
    license: str
    default: bool
    """Whether it is the model of requests that name none."""
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


def models(catalog: Catalog) -> Models:
    """The models on offer."""
    entries = [ModelEntry(id=name, created=catalog.changed) for name in catalog]
    return Models(models=[model(catalog, card) for card in catalog.values()], data=entries)


def model(catalog: Catalog, card: ModelCard) -> Model:
    """One model on offer."""
    return Model(
        id=card.id,
        created=catalog.changed,
        title=card.title,
        description=card.description,
        license=card.license,
        default=card is catalog.default,
        defaults=card.defaults,
        limits=card.limits,
        loras=list(card.lora_files),
        fields=form(card.terms),
        example_prompts=card.example_prompts,
    )
