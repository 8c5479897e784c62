"""What is wrong with a request, field by field: a code for programs, and a message for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError


class Code(StrEnum):
    """The kind of a problem."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    """There is no such field here."""
    TYPE = "type"
    CHOICE = "choice"
    """None of the values that it may have."""
    RANGE = "range"
    MULTIPLE = "multiple"
    """Not a multiple of what it must be."""
    LENGTH = "length"
    CONFLICT = "conflict"
    """It does not go with another field, or with the model."""
    VALUE = "value"
    """Any other."""


@dataclass(frozen=True)
class FieldProblem:
    """One problem. ``message`` goes on where the field's name ends: "must be from 1 to 8"."""

    field: str
    code: Code
    message: str


class InvalidFields(ValueError):
    """A request that cannot be met; ``problems`` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{each.field} {each.message}" for each in problems))


def out_of_range(field: str, low: float | None, high: float | None) -> FieldProblem:
    """A number outside [low, high]; None is no bound."""
    if high is None:
        allowed = f"must be at least {low:.12g}"
    elif low is None:
        allowed = f"must be at most {high:.12g}"
    else:
        allowed = f"must be {low:.12g}" if low == high else f"must be from {low:.12g} to {high:.12g}"
    return FieldProblem(field, Code.RANGE, allowed)


def not_multiple(field: str, factor: int) -> FieldProblem:
    """A number that is no multiple of ``factor``."""
    return FieldProblem(field, Code.MULTIPLE, f"must be a multiple of {factor}")


def too_long(field: str, most: int, length: int) -> FieldProblem:
    """A text of more than ``most`` characters."""
    return FieldProblem(field, Code.LENGTH, f"must have at most {most} characters; it has {length}")


def not_taken(field: str, method: str) -> FieldProblem:
    """A field that the method does not take."""
    return FieldProblem(field, Code.CONFLICT, f"must be left out when method is {method}")


def not_alone(field: str, needed: Mapping[str, str]) -> FieldProblem:
    """A field that is taken only with these values of others."""
    values = " and ".join(f"{name} is {value}" for name, value in needed.items())
    return FieldProblem(field, Code.CONFLICT, f"must be left out unless {values}")


def not_of_model(field: str, model: str) -> FieldProblem:
    """A field that the model does not take."""
    return FieldProblem(field, Code.CONFLICT, f"must be left out: model {model} does not take it")


def not_for_model(field: str, model: str, choices: Sequence[str]) -> FieldProblem:
    """A value that the model does not take."""
    allowed = " or ".join(filter(None, [", ".join(choices[:-1]), *choices[-1:]]))
    return FieldProblem(field, Code.CHOICE, f"must be {allowed} with model {model}")


def not_offered(field: str, offered: Iterable[str]) -> FieldProblem:
    """The name of a model that the server does not have."""
    return FieldProblem(field, Code.CHOICE, f"must be one of the models on offer: {', '.join(offered)}")


def unknown_lora(field: str, name: str, model: str, offered: Sequence[str]) -> FieldProblem:
    """A LoRA that the model does not have."""
    return FieldProblem(field, Code.CHOICE, f"must be among those of model {model}: {', '.join(offered)}; not {name}")


def unknown(field: str, kind: str = "field of a request") -> FieldProblem:
    """A name that means nothing here."""
    return FieldProblem(field, Code.UNKNOWN, f"is not a {kind}: leave it out")


_CODES = {
    "literal_error": Code.CHOICE,
    **dict.fromkeys(("greater_than", "greater_than_equal", "less_than", "less_than_equal"), Code.RANGE),
}


def of_validation(error: ValidationError) -> list[FieldProblem]:
    """Everything that pydantic found wrong, in its order."""
    found = error.errors()
    return [of_pydantic(".".join(map(str, each["loc"])), each) for each in found]


def of_pydantic(field: str, error: Mapping[str, Any], kind: str = "field of a request") -> FieldProblem:
    """One of pydantic's errors, as ``ValidationError.errors()`` lists them, as a problem of ``field``."""
    match error["type"]:
        case "missing":
            return FieldProblem(field, Code.MISSING, "is required")
        case "extra_forbidden":
            return unknown(field, kind)
        case "json_invalid":
            where = f"{error['ctx']['error']} at character {error['loc'][-1]}"
            return FieldProblem(field, Code.VALUE, f"is not JSON: {where}")
        case "dict_type":
            return FieldProblem(field, Code.TYPE, "must be a JSON object")
        case "too_short":
            least, length = error["ctx"]["min_length"], error["ctx"]["actual_length"]
            return FieldProblem(field, Code.LENGTH, f"must have {least} or more characters; it has {length}")
        case "too_long":
            return too_long(field, error["ctx"]["max_length"], error["ctx"]["actual_length"])
        case other:
            message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "must")
            code = Code.TYPE if str(other).endswith(("_type", "_parsing")) else _CODES.get(str(other), Code.VALUE)
            return FieldProblem(field, code, message)
