"""A request completed with a model's defaults and checked against its limits."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from contract.fields import (
    FILLING,
    LOOKING,
    MAX_SEED,
    MOST_REFERENCES,
    STRENGTH,
    STRENGTH_OF_MASK,
    Generation,
    Handling,
    Limits,
    Terms,
)
from contract.problems import (
    Code,
    FieldProblem,
    InvalidFields,
    not_alone,
    not_for_model,
    not_multiple,
    not_of_model,
    not_taken,
    of_pydantic,
    of_validation,
    out_of_range,
    too_long,
    unknown_lora,
)
from contract.table import GENERATION, HANDLING, RequestFieldInfo
from contract.words import Method


def resolve(terms: Terms, request: Mapping[str, Any]) -> Generation:
    """Fill in what a request leaves out (None counts as left out; a seed is drawn) and check all of it.

    Raises:
        InvalidFields: with every problem of the request at once.
    """
    given = {name: value for name, value in request.items() if value is not None}
    fixed = {name: row.default for name, row in GENERATION.items() if not (row.required or row.model_default)}
    values: dict[str, Any] = {**fixed, **terms.defaults.model_dump(), **given, "model": terms.model}
    found = _not_taken(values, given, terms)
    found |= _wrong_by_type({**values, "seed": given.get("seed", 0)})
    if "loras" not in found and (problem := _wrong_loras([each["name"] for each in values["loras"]], terms)):
        found["loras"] = problem
    most = LOOKING.get(terms.kind or "", MOST_REFERENCES)
    if "references" not in found and len(values["references"]) > most:
        found["references"] = FieldProblem("references", Code.LENGTH, f"may be at most {most} with model {terms.model}")
    for name, row in GENERATION.items():
        if name not in found and row.type != "array" and (problem := out_of_limits(row, values[name], terms.limits)):
            found[name] = problem
    if found.keys().isdisjoint(("seed", "images")):
        highest = MAX_SEED + 1 - values["images"]
        if values["seed"] is None:
            values["seed"] = random.randint(0, highest)
        if values["seed"] > highest:
            message = f"must be at most {highest}: image n of {values['images']} uses seed + n"
            found["seed"] = FieldProblem("seed", Code.CONFLICT, message)
    if found.keys().isdisjoint(("blocks", "steps")) and (values["blocks"] or 1) > values["steps"]:
        message = f"must be at most the number of steps, {values['steps']}"
        found["blocks"] = FieldProblem("blocks", Code.CONFLICT, message)

    found |= _conflicts_of_picture(values, given, terms, found)

    if found:
        order = [*GENERATION, *found]
        raise InvalidFields(sorted(found.values(), key=lambda problem: order.index(problem.field)))
    return Generation(**values)


def _conflicts_of_picture(
    values: dict[str, Any], given: Mapping[str, Any], terms: Terms, found: Mapping[str, FieldProblem]
) -> dict[str, FieldProblem]:
    """What is wrong with a picture to begin with, a mask and a strength together. Sets the strength."""
    if not found.keys().isdisjoint(("image", "mask", "strength", "steps")):
        return {}
    alone = {
        name: FieldProblem(name, Code.CONFLICT, "must be left out without image")
        for name in ("mask", "strength")
        if values["image"] is None and given.get(name) is not None
    }
    if terms.kind in FILLING:
        for name in ("image", "mask"):
            if values[name] is None:
                message = f"is required: model {terms.model} fills a part of a picture"
                alone[name] = FieldProblem(name, Code.MISSING, message)
    if alone or values["image"] is None:
        return alone
    if values["strength"] is None:
        values["strength"] = STRENGTH if values["mask"] is None else STRENGTH_OF_MASK
    run = int(values["steps"] * values["strength"] + 1e-9)
    if run < 1:
        least = f"{1 / values['steps']:.3g}"
        message = f"must be at least {least} with {values['steps']} steps, so that one of them is left"
        return {"strength": FieldProblem("strength", Code.CONFLICT, message)}
    if "blocks" not in found and (values["blocks"] or 1) > run:
        message = f"must be at most {run}, the steps that strength {values['strength']:g} leaves"
        return {"blocks": FieldProblem("blocks", Code.CONFLICT, message)}
    return {}


def handling(request: Mapping[str, Any]) -> tuple[Handling, list[FieldProblem]]:
    """How a request asks to be handled, and what is wrong with that; other fields are passed over."""
    given = {name: request[name] for name in HANDLING if request.get(name) is not None}
    try:
        return Handling.model_validate(given), []
    except ValidationError as error:
        return Handling(), of_validation(error)


def out_of_limits(row: RequestFieldInfo, value: Any, limits: Limits) -> FieldProblem | None:
    """What is wrong with a value of the right type for a model of these limits; None if nothing is."""
    if value is None:
        return None
    bounds = row.bounds(limits)
    too_low = bounds.least is not None and value < bounds.least
    if too_low or (bounds.most is not None and value > bounds.most):
        return out_of_range(row.name, bounds.least, bounds.most)
    if bounds.multiple_of is not None and value % bounds.multiple_of:
        return not_multiple(row.name, bounds.multiple_of)
    if row.about.not_blank is not None and not value.strip():
        return FieldProblem(row.name, Code.VALUE, f"must not be blank: {row.about.not_blank}")
    if bounds.max_length is not None and len(value) > bounds.max_length:
        return too_long(row.name, bounds.max_length, len(value))
    return None


def _not_taken(values: dict[str, Any], given: Mapping[str, Any], terms: Terms) -> dict[str, FieldProblem]:
    """Sets the fields in ``values`` that are not taken, and reports those of them that were given."""
    found: dict[str, FieldProblem] = {}
    method = values["method"] if values["method"] in get_args(Method) else None
    for name, row in GENERATION.items():
        if method is not None and method not in row.methods:
            problem = not_taken(name, method)
        elif not row.taken_by(terms):
            problem = not_of_model(name, terms.model)
        elif any(values[other] != needed for other, needed in row.about.only_with.items()):
            problem = not_alone(name, row.about.only_with)
        else:
            choices = row.choices_for(terms)
            if given.get(name) in row.choices and given[name] not in choices:
                found[name] = not_for_model(name, terms.model, choices)
            continue
        # The value that it resolves to is no problem, so that a resolved request can be sent again.
        asked = given.get(name)
        if asked is not None and (not _is(row.python, asked) or (asked and asked != row.unused)):
            found[name] = problem
        values[name] = row.unused
    return found


def _is(python: type, value: Any) -> bool:
    """Whether a value is of a type as in JSON: a number is no boolean, and an integer is a number."""
    if isinstance(value, bool):
        return python is bool
    return isinstance(value, int | float if python is float else python)


def _wrong_loras(names: Sequence[str], terms: Terms) -> FieldProblem | None:
    if not names:
        return None
    if not terms.loras:
        return not_of_model("loras", terms.model)
    if unknown := next((name for name in names if name not in terms.loras), None):
        return unknown_lora("loras", unknown, terms.model, terms.loras)
    if len(set(names)) < len(names):
        return FieldProblem("loras", Code.VALUE, "must name each LoRA once")
    return None


def _wrong_by_type(values: Mapping[str, Any]) -> dict[str, FieldProblem]:
    """Fields that are missing, unknown or of the wrong type. What is out of bounds is left to the model's limits."""
    try:
        Generation.model_validate(values)
    except ValidationError as error:
        return {
            str(each["loc"][0]): of_pydantic(str(each["loc"][0]), each)
            for each in error.errors(include_url=False)
            if each["loc"]
            and (len(tuple(each["loc"])) > 1 or each["type"] not in ("greater_than_equal", "less_than_equal"))
        }
    return {}
