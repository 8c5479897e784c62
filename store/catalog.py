"""The models on offer: what each takes by default and at most, read from a TOML file."""

import random
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, PrivateAttr, ValidationError, model_validator

from store.generation import MAX_SEED, Generation, Method

SERIAL_TAKES_NO = ("blocks", "tolerance", "max_iterations")


class InvalidGeneration(ValueError):  # noqa: N818 - it says what happened
    """A request that the catalogue does not allow.

    ``problems`` lists all of them at once, as (field, message that says what to change).
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field}: {message}" for field, message in problems))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Defaults(_Part):
    """What a request that does not say gets. ``width`` and ``height`` are pixels."""

    method: Method = "srds"
    steps: PositiveInt
    guidance_scale: float
    width: PositiveInt
    height: PositiveInt
    tolerance: float
    negative_prompt: str = ""


class Limits(_Part):
    """What a request may ask for. Sizes are pixels and hold for width and height."""

    min_steps: PositiveInt = 1
    max_steps: PositiveInt
    min_size: PositiveInt
    max_size: PositiveInt
    multiple_of: PositiveInt
    max_guidance_scale: float = Field(ge=1)
    max_images: PositiveInt
    max_prompt_characters: PositiveInt

    def problems(self, field: str, value: Any) -> str | None:
        """What is wrong with a value that is valid by itself; None when nothing is."""
        match field:
            case "steps" | "blocks" | "max_iterations" if value is not None:
                low = self.min_steps if field == "steps" else 1
                return _between(value, low, self.max_steps)
            case "guidance_scale":
                return _between(value, 1, self.max_guidance_scale)
            case "images":
                return _between(value, 1, self.max_images)
            case "width" | "height":
                if message := _between(value, self.min_size, self.max_size):
                    return message
                return f"must be a multiple of {self.multiple_of}" if value % self.multiple_of else None
            case "prompt" if not value.strip():
                return "must not be blank: say what the picture shows"
            case "prompt" | "negative_prompt" if len(value) > self.max_prompt_characters:
                return f"must have at most {self.max_prompt_characters} characters, not {len(value)}"
            case _:
                return None


class ModelCard(_Part):
    """One model. ``width`` is how many evaluations one round may hold."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str
    description: str
    source: str = Field(min_length=1)
    license: str
    dtype: Literal["float32", "float16", "bfloat16"]
    width: PositiveInt
    example_prompts: list[str] = Field(min_length=1)
    defaults: Defaults
    limits: Limits

    _folder: Path = PrivateAttr(default=Path())

    @property
    def location(self) -> str:
        """Where to load the model from: an absolute path, or a hub id when ``source`` is ``owner/name`` and no
        such folder lies beside the catalogue."""
        path = (self._folder / self.source).resolve()
        is_hub_id = self.source.count("/") == 1 and not self.source.startswith((".", "/"))
        return self.source if is_hub_id and not path.exists() else str(path)

    def beside(self, folder: Path) -> Self:
        """The card of a catalogue that lies in ``folder``."""
        self._folder = folder
        return self

    @model_validator(mode="after")
    def _defaults_within_limits(self) -> Self:
        for prompt in self.example_prompts:
            try:
                self.resolve({"prompt": prompt})
            except InvalidGeneration as error:
                raise ValueError(f"the defaults and examples of model {self.id} break its limits: {error}") from error
        return self

    def resolve(self, request: Mapping[str, Any]) -> Generation:
        """Fill in the defaults of this model and check against its limits; see ``Catalog.resolve``."""
        given = {field: value for field, value in request.items() if value is not None}
        values: dict[str, Any] = {"images": 1, **self.defaults.model_dump(), **given, "model": self.id}
        problems: list[tuple[str, str]] = []
        if values["method"] == "serial":
            problems += [(f, "must be left out when method is serial") for f in SERIAL_TAKES_NO if f in given]
            values |= {"blocks": None, "tolerance": 0.0, "max_iterations": None}

        problems += _field_problems(values)
        wrong = {field for field, _ in problems}
        for field, value in values.items():
            if field not in wrong and (message := self.limits.problems(field, value)):
                problems.append((field, message))

        wrong = {field for field, _ in problems}
        if wrong.isdisjoint(("seed", "images")):
            highest = MAX_SEED + 1 - values["images"]
            values.setdefault("seed", random.randint(0, highest))
            if values["seed"] > highest:
                problems.append(("seed", f"must be at most {highest} for {values['images']} images"))
        if wrong.isdisjoint(("blocks", "steps")) and (values.get("blocks") or 1) > values["steps"]:
            problems.append(("blocks", f"must be at most the number of steps, {values['steps']}"))

        if problems:
            raise InvalidGeneration(problems)
        return Generation(**values)


class Catalog(dict[str, ModelCard]):
    """Model cards by id, in the order of the file."""

    @property
    def default(self) -> ModelCard:
        """The first model of the file."""
        return next(iter(self.values()))

    def resolve(self, request: Mapping[str, Any]) -> Generation:
        """Fill in a request's missing fields (None counts as missing) and check it against its model.

        Without ``model`` it is the default model's; without ``seed`` one is drawn.

        Raises:
            InvalidGeneration: with every problem of the request at once.
        """
        name = request.get("model")
        if name is None:
            return self.default.resolve(request)
        if not isinstance(name, str) or name not in self:
            raise InvalidGeneration([("model", f"is not one of the models here: {', '.join(self)}")])
        return self[name].resolve(request)


def load_catalog(path: Path) -> Catalog:
    """Read a catalogue.

    Raises:
        ValueError: the file is missing or is not a catalogue; the message says where and what.
    """

    class File(_Part):
        models: list[ModelCard] = Field(min_length=1)

    try:
        cards = File.model_validate(tomllib.loads(path.read_text("utf-8"))).models
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ValueError(f"the catalogue of models {path} cannot be used: {error}") from error
    catalog = Catalog({card.id: card.beside(path.resolve().parent) for card in cards})
    if len(catalog) < len(cards):
        raise ValueError(f"the catalogue of models {path} names a model twice")
    return catalog


def _between(value: float, low: float, high: float) -> str | None:
    if low <= value <= high:
        return None
    return f"must be {low:g}" if low == high else f"must be from {low:g} to {high:g}"


def _field_problems(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The problems of every field by itself; a missing seed is none."""
    try:
        Generation.model_validate({"seed": 0, **values})
    except ValidationError as error:
        return [
            (str(problem["loc"][0]), _plain(problem["type"], problem["msg"]))
            for problem in error.errors(include_url=False, include_context=False)
            if problem["loc"]  # the one cross-field rule is checked by the caller
        ]
    return []


def _plain(kind: str, message: str) -> str:
    """Pydantic's message as one that continues a field's name."""
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "is not a field of a request: leave it out"
    return message.replace("Value error, ", "").replace("Input should", "must").replace("String should", "must")
