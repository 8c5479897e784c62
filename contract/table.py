"""The table of request fields, read from the annotations in ``contract.fields``."""

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from contract.annotations import MODEL, RequestField
from contract.fields import Generation, Handling, Limits, RefineRequest, Terms, Webhook
from contract.methods import methods_of
from contract.words import Method

_Model = type[BaseModel]
JsonType = Literal["string", "integer", "number", "boolean", "array", "object"]
_TYPES: dict[Any, JsonType] = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array"}


@dataclass(frozen=True)
class Bounds:
    """What a value may be; None: no bound.

    Attributes:
        above: it must be greater than this.
        least, most: it must be from here to here.
        multiple_of: of which it must be a multiple.
        min_length, max_length: of a text, in characters.
    """

    above: float | None = None
    least: float | None = None
    most: float | None = None
    multiple_of: int | None = None
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class RequestFieldInfo:
    """One row of the table.

    Attributes:
        name: of the field.
        about: what its annotation says.
        type: of its value in JSON, which may be null unless the field is required.
        python: the same in Python.
        item: the type of the objects in an array, or of an object; None for other fields.
        choices: the only values that it may have, or that the items of an array may have; empty if there are others.
        required: whether a request must have it.
        fixed: the bounds that hold for every model.
    """

    name: str
    about: RequestField
    type: JsonType
    python: Any
    item: _Model | None
    choices: tuple[str, ...]
    required: bool
    fixed: Bounds
    _default: Any

    @property
    def items(self) -> "dict[str, RequestFieldInfo]":
        """The fields of the objects that an array holds, or of an object; empty for other types."""
        return {} if self.item is None else rows(self.item)

    @property
    def model_default(self) -> bool:
        """Whether its default is the model card's."""
        return self.about.default is MODEL

    @property
    def default(self) -> Any:
        """What a request gets that leaves it out; None if that is the model card's, or if there is none."""
        return None if self.model_default else self._default

    @property
    def unused(self) -> Any:
        """Its value if the method or the model does not take it."""
        return self.default if self.about.unused is None else self.about.unused

    @property
    def methods(self) -> tuple[Method, ...]:
        """The methods that take it."""
        return methods_of(self.name)

    @property
    def refinable(self) -> bool:
        """Whether it may be changed when a job is refined."""
        return self.name in RefineRequest.model_fields

    def taken_by(self, terms: Terms) -> bool:
        """Whether a model takes it, as far as that is known."""
        kinds = self.about.kinds
        if kinds is not None and terms.kind is not None and terms.kind not in kinds:
            return False
        return not self.about.of_pipeline or terms.arguments is None or self.name in terms.arguments

    def choices_for(self, terms: Terms) -> tuple[str, ...]:
        """Its choices with a model."""
        return tuple(choice for choice in self.choices if not (terms.flow and choice in self.about.not_for_flow))

    def bounds(self, limits: Limits) -> Bounds:
        """What its value may be with a model of these limits."""

        def narrowed(limit: str | None, otherwise: Any) -> Any:
            return otherwise if limit is None else getattr(limits, limit)

        return Bounds(
            above=self.fixed.above,
            least=narrowed(self.about.minimum, self.fixed.least),
            most=narrowed(self.about.maximum, self.fixed.most),
            multiple_of=narrowed(self.about.multiple_of, None),
            min_length=self.fixed.min_length,
            max_length=narrowed(self.about.max_length, self.fixed.max_length),
        )


def rows(model: type[BaseModel]) -> dict[str, RequestFieldInfo]:
    """The fields of a model that are request fields, by name."""
    return {
        name: _row(model, name, info, about)
        for name, info in model.model_fields.items()
        for about in info.metadata
        if isinstance(about, RequestField)
    }


def _row(model: type[BaseModel], name: str, info: FieldInfo, about: RequestField) -> RequestFieldInfo:
    python, choices, item = _type(info.annotation)
    bounds: dict[str, Any] = {}
    for each in info.metadata:
        match each:
            case Ge(ge=least):
                bounds["least"] = least
            case Gt(gt=above):
                bounds["above"] = above
            case Le(le=most):
                bounds["most"] = most
            case MinLen(min_length=length):
                bounds["min_length"] = length
            case MaxLen(max_length=length):
                bounds["max_length"] = length
            case _:
                pass
    if about.not_blank is not None:
        bounds["min_length"] = 1
    return RequestFieldInfo(
        name=name,
        about=about,
        type="object" if isinstance(python, type) and issubclass(python, BaseModel) else _TYPES[python],
        python=python,
        item=item,
        choices=choices,
        required=about.not_blank is not None or (model is Webhook and info.is_required()),
        fixed=Bounds(**bounds),
        _default=about.default if info.is_required() else info.get_default(call_default_factory=True),
    )


def _type(annotation: Any) -> tuple[Any, tuple[str, ...], type[BaseModel] | None]:
    """The type without None, its choices, and the type of the objects in it."""
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):  # of Literals it is typing's
        (annotation,) = (each for each in get_args(annotation) if each is not NoneType)
        return _type(annotation)
    if get_origin(annotation) is Literal:
        return str, get_args(annotation), None
    if get_origin(annotation) is list:
        return list, *_type(get_args(annotation)[0])[1:]
    return annotation, (), annotation if issubclass(annotation, BaseModel) else None


GENERATION = rows(Generation)
HANDLING = rows(Handling)
FIELDS = {**GENERATION, **HANDLING}
"""Every field of a request, by name."""
WEBHOOK = rows(Webhook)
"""The fields of ``webhook``."""
