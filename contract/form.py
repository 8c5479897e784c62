"""The fields of a request to one model, as data: what a form shows, and what other programs offer."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from contract.fields import Terms
from contract.table import FIELDS, RequestFieldInfo
from contract.words import Method


class _Sent(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_serialization_defaults_required=True)


class Option(_Sent):
    """A value that a field may have."""

    value: str
    title: str


class FormField(_Sent):
    """A field of a request to this model: what it takes, and how a form shows it."""

    name: str
    label: str | None
    """Its name in a form; null if forms leave it out."""
    help: str
    """What it means, in a line."""
    type: str
    """`string`, `integer`, `number` or `boolean`."""
    required: bool
    default: str | int | float | bool | None
    """What a request gets that leaves it out; null if there is no such value."""
    placeholder: str | None
    """What an empty input means."""
    unit: str | None
    minimum: float | None
    """The least value."""
    exclusive_minimum: float | None
    """The value must be greater than this."""
    maximum: float | None
    """The greatest value."""
    multiple_of: int | None
    max_length: int | None
    """The most characters of a text."""
    options: list[Option] | None
    """The only values that it may have; null if there are others."""
    methods: list[Method]
    """The methods that take it."""
    refinable: bool
    """Whether it may be changed when a job is refined."""


def form(terms: Terms) -> list[FormField]:
    """The fields that a request to a model may have; ``model`` itself, and those that are no scalars, are left out."""
    defaults = terms.defaults.model_dump()
    rows = (row for row in FIELDS.values() if row.name != "model" and row.type not in ("array", "object"))
    return [_field(row, terms, defaults.get(row.name, row.default)) for row in rows if _is_offered(row, terms)]


def _is_offered(row: RequestFieldInfo, terms: Terms) -> bool:
    needed = row.about.only_with.items()
    return row.taken_by(terms) and all(value in FIELDS[name].choices_for(terms) for name, value in needed)


def _field(row: RequestFieldInfo, terms: Terms, default: Any) -> FormField:
    about, bounds = row.about, row.bounds(terms.limits)
    choices = row.choices_for(terms)
    return FormField(
        name=row.name,
        label=about.label,
        help=about.help,
        type=row.type,
        required=row.required,
        default=default,
        placeholder=about.placeholder,
        unit=about.unit,
        minimum=bounds.least,
        exclusive_minimum=bounds.above,
        maximum=bounds.most,
        multiple_of=bounds.multiple_of,
        max_length=bounds.max_length,
        options=[Option(value=choice, title=about.options[choice]) for choice in choices] or None,
        methods=list(row.methods),
        refinable=row.refinable,
    )
