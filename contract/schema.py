"""The table of request fields as JSON Schema.

It documents: a request is checked by ``contract.resolve``, which knows the limits of the model that it names and
reports all problems at once. Here a limit is the widest of all models.
"""

from collections.abc import Sequence
from math import gcd
from typing import Any

from contract.fields import Limits, Terms
from contract.table import FIELDS, Bounds, RequestFieldInfo

NO_NUL = r"^[^\u0000]*$"
NOT_BLANK = r"^[^\u0000]*[^\s\u0000\u001c-\u001f][^\u0000]*$"


def request_schema(models: Sequence[Terms]) -> dict[str, Any]:
    """The schema of a request as an object, for the models on offer; the first one is the default.

    A field that none of them takes has one value, the one that changes nothing.
    """
    limits = widest([terms.limits for terms in models])
    by_model = {**models[0].defaults.model_dump(), "model": models[0].model}
    properties = {
        name: _property(row, row.bounds(limits), by_model.get(name), nullable=not row.required)
        for name, row in FIELDS.items()
    }
    for name, row in FIELDS.items():
        offered = {choice for terms in models for choice in row.choices_for(terms)}
        if not any(row.taken_by(terms) for terms in models):
            # Generators of clients know no enumeration of numbers.
            number = row.type in ("number", "integer") and row.unused is not None
            only = {"minimum": row.unused, "maximum": row.unused} if number else {"enum": [row.unused, None]}
            properties[name] |= {"maxItems": 0} if row.type == "array" else only
        elif row.choices:
            properties[name]["enum"] = [*(choice for choice in row.choices if choice in offered), None]
    names = dict.fromkeys(name for terms in models for name in terms.loras)
    if names:
        properties["loras"]["items"]["properties"]["name"]["enum"] = list(names)
    else:
        properties["loras"]["maxItems"] = 0
    properties["model"]["enum"] = [*(terms.model for terms in models), None]
    return {
        "type": "object",
        "required": [name for name, row in FIELDS.items() if row.required],
        "additionalProperties": False,
        "properties": properties,
    }


def widest(limits: Sequence[Limits]) -> Limits:
    """Limits that allow whatever one of these does."""

    def joined(name: str) -> Any:
        values = [getattr(each, name) for each in limits]
        if name == "multiple_of":
            return gcd(*values)
        return min(values) if name.startswith("min_") else max(values)

    return Limits.model_validate({name: joined(name) for name in Limits.model_fields})


def _property(row: RequestFieldInfo, bounds: Bounds, by_model: Any = None, *, nullable: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": [row.type, "null"] if nullable else row.type,
        "description": row.about.description,
    }
    default = row.default if by_model is None else by_model
    if default is not None:
        made["default"] = default
    length = "Length" if row.type == "string" else "Items"
    keywords = {
        "minimum": bounds.least,
        "exclusiveMinimum": bounds.above,
        "maximum": bounds.most,
        "multipleOf": bounds.multiple_of,
        f"min{length}": bounds.min_length,
        f"max{length}": bounds.max_length,
    }
    made |= {keyword: bound for keyword, bound in keywords.items() if bound is not None}
    match row.type:
        case "array" if row.item:
            made["items"] = {"type": "object", **_object(row)}
        case "array" if not row.choices:
            made["items"] = {"type": "string", "pattern": NO_NUL}
        case "array":
            made |= {"items": {"type": "string", "enum": list(row.choices)}, "minItems": 1, "uniqueItems": True}
        case "object":
            made |= _object(row)
        case "string" if row.name != "model" and not row.choices:
            made["pattern"] = row.about.pattern or (NOT_BLANK if row.about.not_blank else NO_NUL)
        case _:
            pass
    return made


def _object(row: RequestFieldInfo) -> dict[str, Any]:
    nested = {name: _property(each, each.fixed, nullable=False) for name, each in row.items.items()}
    required = [name for name, each in row.items.items() if each.required]
    return {"required": required, "additionalProperties": False, "properties": nested}
