"""A request made whole with a model's defaults and checked against its limits."""

import random
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from store.generation import MAX_SEED, Generation, Method

# What the other methods have no use for.
TAKES_NO: dict[str, tuple[str, ...]] = {
    "serial": ("blocks", "tolerance", "max_iterations"),
    "window": ("blocks", "max_iterations"),
}


class InvalidGeneration(ValueError):
    """A request that its model does not allow.

    ``problems`` lists all of them at once, as (field, message that says what to change); the message goes on where
    the field's name ends: "must be from 1 to 8".
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field} {message}" for field, message in problems))


class Defaults(BaseModel):
    """What a request that does not say gets. ``width`` and ``height`` are pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "srds"
    steps: PositiveInt
    guidance_scale: float
    width: PositiveInt
    height: PositiveInt
    tolerance: float
    negative_prompt: str = ""


class Limits(BaseModel):
    """What a request may ask for. Sizes are pixels and hold for width and height."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_steps: PositiveInt = 1
    max_steps: PositiveInt
    min_size: PositiveInt
    max_size: PositiveInt
    multiple_of: PositiveInt
    max_guidance_scale: float = Field(ge=1)
    max_images: PositiveInt
    max_prompt_characters: PositiveInt

    def problem(self, field: str, value: Any) -> str | None:
        """What is wrong with a value of the right type; None when nothing is."""
        if value is None:
            return None
        ranges = {
            "steps": (self.min_steps, self.max_steps),
            "blocks": (1, self.max_steps),
            "max_iterations": (0, self.max_steps),
            "guidance_scale": (1, self.max_guidance_scale),
            "tolerance": (0, 1),
            "images": (1, self.max_images),
            "seed": (0, MAX_SEED),
            "width": (self.min_size, self.max_size),
            "height": (self.min_size, self.max_size),
        }
        if field in ranges:
            low, high = ranges[field]
            if not low <= value <= high:
                return f"must be {low:.12g}" if low == high else f"must be from {low:.12g} to {high:.12g}"
            if field in ("width", "height") and value % self.multiple_of:
                return f"must be a multiple of {self.multiple_of}"
        if field == "prompt" and not value.strip():
            return "must not be blank: say what the picture shows"
        if field in ("prompt", "negative_prompt") and len(value) > self.max_prompt_characters:
            return f"must have at most {self.max_prompt_characters} characters; it has {len(value)}"
        return None


def resolve(model: str, defaults: Defaults, limits: Limits, request: Mapping[str, Any]) -> Generation:
    """Fill in what a request leaves out (None counts as left out; a seed is drawn) and check all of it.

    Raises:
        InvalidGeneration: with every problem of the request at once.
    """
    given = {field: value for field, value in request.items() if value is not None}
    values: dict[str, Any] = {"seed": None, "images": 1, **defaults.model_dump(), **given, "model": model}
    found: dict[str, str] = {}
    method = values["method"] if isinstance(values["method"], str) else ""
    for field in TAKES_NO.get(method, ()):
        # 0 is what tolerance resolves to, so that a resolved request can be sent again.
        if given.get(field):
            found[field] = f"must be left out when method is {method}"
        values[field] = 0.0 if field == "tolerance" else None

    found |= _wrong_by_type({**values, "seed": given.get("seed", 0)})
    for field in values.keys() - found.keys():
        if message := limits.problem(field, values[field]):
            found[field] = message
    if found.keys().isdisjoint(("seed", "images")):
        highest = MAX_SEED + 1 - values["images"]
        if values["seed"] is None:
            values["seed"] = random.randint(0, highest)
        if values["seed"] > highest:
            found["seed"] = f"must be at most {highest}: image n of {values['images']} uses seed + n"
    if found.keys().isdisjoint(("blocks", "steps")) and (values.get("blocks") or 1) > values["steps"]:
        found["blocks"] = f"must be at most the number of steps, {values['steps']}"

    if found:
        order = [*Generation.model_fields, *found]
        raise InvalidGeneration(sorted(found.items(), key=lambda problem: order.index(problem[0])))
    return Generation(**values)


def _wrong_by_type(values: Mapping[str, Any]) -> dict[str, str]:
    """Fields that are missing, unknown or of the wrong type. What is out of bounds is left to the model's limits."""
    try:
        Generation.model_validate(values)
    except ValidationError as error:
        return {
            str(problem["loc"][0]): plain(problem["type"], problem["msg"])
            for problem in error.errors(include_url=False, include_context=False)
            if problem["loc"] and problem["type"] not in ("greater_than_equal", "less_than_equal")
        }
    return {}


def plain(kind: str, message: str) -> str:
    """Pydantic's message as one that goes on where the field's name ends."""
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "is not a field of a request: leave it out"
    return message.removeprefix("Value error, ").replace("Input should", "must")
