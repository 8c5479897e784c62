"""What the annotations in ``contract.fields`` are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator


@dataclass(frozen=True, kw_only=True)
class RequestField:
    """What a field of a request means, beside its type.

    Bounds that hold for every model are pydantic's (``Field(ge=1)``); a named limit is an attribute of
    ``contract.fields.Limits`` and narrows them.

    Attributes:
        help: one line, for the command and for forms.
        description: for the API's document and the reference; in Markdown.
        label: its name in a form; None leaves it out of forms.
        unit: of its value; None if it has none.
        minimum, maximum, multiple_of: the limits of the model that bound a number.
        max_length: the limit of the model that bounds a text.
        options: a title for each value of a Literal.
        placeholder: what an empty input of a form means.
        default: of a request, if the model that holds the field has none. MODEL: that of the model card.
        unused: the value it resolves to when the method or the model does not take it; by default its default.
        kinds: the kinds of model that take it (see ``contract.fields.Terms``); None for all.
        of_pipeline: whether only models take it whose pipeline has an argument of its name.
        not_for_flow: values that models by flow matching do not take.
        only_with: values of other fields without which it is not taken, by the field's name.
        not_blank: for a text that must not be blank: the advice in the message.
        pattern: a regular expression for the JSON Schema alone.
    """

    help: str
    description: str
    label: str | None = None
    unit: str | None = None
    minimum: str | None = None
    maximum: str | None = None
    multiple_of: str | None = None
    max_length: str | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    placeholder: str | None = None
    default: Any = None
    unused: Any = None
    kinds: tuple[str, ...] | None = None
    of_pipeline: bool = False
    not_for_flow: tuple[str, ...] = ()
    only_with: Mapping[str, str] = field(default_factory=dict[str, str])
    not_blank: str | None = None
    pattern: str | None = None


MODEL: Any = object()
"""As a default: the model card's."""


def _storable(text: str) -> str:
    # PostgreSQL stores neither in text or in jsonb.
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""A string that PostgreSQL can store."""


def whole(value: Any) -> Any:
    """JSON has one kind of number: 25.0 is 25."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
