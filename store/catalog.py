"""The models on offer, read from a TOML file."""

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, PrivateAttr, model_validator

from contract.fields import Defaults, Generation, Limits, Terms
from contract.problems import InvalidFields, not_offered
from contract.resolve import resolve
from store import model_files, pipelines
from store.families import complete


class Quantization(BaseModel):
    """Weights in fewer bits, as diffusers' ``PipelineQuantizationConfig`` names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quant_backend: str
    quant_kwargs: dict[str, Any] = {}
    components_to_quantize: list[str] | None = None


class LoraCard(BaseModel):
    """A LoRA of a model: a ``.safetensors`` file, beside the catalogue or by its path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[^\s:<>]+$")
    source: str = Field(pattern=r"\.safetensors$")
    title: str | None = None


class ModelCard(BaseModel):
    """One model. ``width`` is how many evaluations one round may hold; ``kind`` see ``contract.fields.Terms``;
    ``preload``: whether workers load it when they start; ``aliases`` are other names by which OpenAI's clients may ask
    for it; ``base``, ``variant``, ``revision`` and ``quantization`` see ``sampler.models.source.Source``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str
    description: str
    source: str = Field(min_length=1)
    base: str | None = Field(default=None, min_length=1)
    variant: str | None = Field(default=None, min_length=1)
    revision: str | None = Field(default=None, min_length=1)
    quantization: Quantization | None = None
    loras: list[LoraCard] = []
    lora_folder: str | None = Field(default=None, min_length=1)
    kind: str | None = None
    aliases: list[str] = []
    license: str
    dtype: Literal["auto", "float32", "float16", "bfloat16"]
    width: PositiveInt
    preload: bool = False
    example_prompts: list[str] = Field(min_length=1)
    defaults: Defaults
    limits: Limits

    _folder: Path = PrivateAttr(default=Path())
    _found: model_files.ModelFiles = PrivateAttr(default=model_files.NOTHING)

    @property
    def location(self) -> str:
        """Where to load the model from: an absolute path, or a place on the hub, ``owner/name`` or a file there
        (``owner/name/path/file.gguf``), when nothing of this name lies beside the catalogue."""
        return _located(self.source, self._folder)

    @property
    def base_location(self) -> str | None:
        """The same of ``base``."""
        return None if self.base is None else _located(self.base, self._folder)

    @property
    def files(self) -> model_files.ModelFiles:
        """What lies there now. With dtype "auto" its size is that of the larger one."""
        return self.files_as(self.dtype)

    def files_as(self, dtype: str) -> model_files.ModelFiles:
        """The same, with weights of this dtype."""
        quantization = self.quantization.model_dump() if self.quantization else {}
        return model_files.look(model_files.Place(self.location, self.base_location, dtype, self.variant, quantization))

    @property
    def terms(self) -> Terms:
        """What it gives and allows."""
        kind = self.kind or self._found.kind
        taken = None if kind is None else pipelines.arguments(kind)
        return Terms(self.id, kind, self.defaults, self.limits, tuple(self.lora_files), taken, self._found.flow)

    @property
    def lora_files(self) -> dict[str, Path]:
        """The files of its LoRA by name: those in the catalogue, then those that lie in its folder now."""
        found = {lora.name: (self._folder / lora.source).resolve() for lora in self.loras}
        if self.lora_folder is not None:
            for file in sorted((self._folder / self.lora_folder).glob("*.safetensors")):
                found.setdefault(_name_of(file), file.resolve())
        return found

    def resolve(self, request: Mapping[str, Any]) -> Generation:
        """Fill in this model's defaults and check against its limits; see ``Catalog.resolve``."""
        return resolve(self.terms, request)

    def beside(self, folder: Path) -> Self:
        """This card, of a catalogue that lies in ``folder``."""
        self._folder = folder
        self._found = self.files
        return self

    @model_validator(mode="after")
    def _defaults_within_limits(self) -> Self:
        for prompt in self.example_prompts:
            try:
                self.resolve({"prompt": prompt})
            except InvalidFields as error:
                if all(problem.field in ("image", "mask") for problem in error.problems):
                    continue  # of a model that fills a part of a picture
                raise ValueError(f"the defaults of model {self.id} break its limits: {error}") from error
        return self


def _name_of(file: Path) -> str:
    """The name of a LoRA in a folder: no spaces, and nothing that ends a name in a prompt or an option."""
    return re.sub(r"[\s:<>]+", "_", file.stem)


class Catalog(dict[str, ModelCard]):
    """Model cards by id, in the order of the file."""

    changed: int = 0
    """When the file was changed last, in seconds since 1970."""

    @property
    def default(self) -> ModelCard:
        """The first model of the file."""
        return next(iter(self.values()))

    def named(self, name: str) -> ModelCard | None:
        """The model of this id or alias; None if there is none."""
        return self.get(name) or next((card for card in self.values() if name in card.aliases), None)

    def only(self, ids: Collection[str]) -> "Catalog":
        """The catalogue with these models only.

        Raises:
            ValueError: one of them is not in it.
        """
        if unknown := sorted(set(ids) - set(self)):
            raise ValueError(f"{unknown[0]} is not in the catalogue, which has {', '.join(self)}")
        kept = Catalog({name: card for name, card in self.items() if name in ids})
        kept.changed = self.changed
        return kept

    def resolve(self, request: Mapping[str, Any]) -> Generation:
        """Fill in a request's missing fields (None counts as missing) and check it against its model.

        Without ``model`` it is the default model's; without ``seed`` one is drawn.

        Raises:
            InvalidFields: with every problem of the request at once.
        """
        name = request.get("model")
        if name is None:
            return self.default.resolve(request)
        if not isinstance(name, str) or name not in self:
            raise InvalidFields([not_offered("model", self)])
        return self[name].resolve(request)


def card_of(entry: Mapping[str, Any], folder: Path) -> ModelCard:
    """A card from an entry of a catalogue in ``folder``, with what it leaves out filled in from its files and family.

    Raises:
        ValueError: it is no such entry.
    """
    source, base = entry.get("source"), entry.get("base")
    if not isinstance(source, str) or not isinstance(entry.get("id"), str) or not isinstance(base, str | None):
        return ModelCard.model_validate(entry)  # which says what is wrong
    place = model_files.Place(
        _located(source, folder), None if base is None else _located(base, folder), "float32", entry.get("variant"), {}
    )
    return ModelCard.model_validate(complete(dict(entry), model_files.look(place))).beside(folder)


def _located(name: str, folder: Path) -> str:
    """An absolute path, or a place on the hub."""
    path = (folder / name).resolve()
    slashes, on_hub = name.count("/"), not name.startswith((".", "/", "~"))
    is_hub_id = on_hub and (slashes > 1 if model_files.is_file(name) else slashes == 1)
    return name if is_hub_id and not path.exists() else str(path)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: list[dict[str, Any]] = Field(min_length=1)


def load_catalog(path: Path) -> Catalog:
    """Read a catalogue.

    Raises:
        ValueError: the file is missing or is not a catalogue; the message says where and what.
    """
    try:
        entries = _File.model_validate(tomllib.loads(path.read_text("utf-8"))).models
        cards = [card_of(entry, path.resolve().parent) for entry in entries]
        changed = int(path.stat().st_mtime)
    except (OSError, ValueError) as error:  # not TOML, not UTF-8 and not valid are all ValueErrors
        raise ValueError(f"the catalogue of models {path} cannot be used: {error}") from error
    catalog = Catalog({card.id: card for card in cards})
    catalog.changed = changed
    if len(catalog) < len(cards):
        raise ValueError(f"the catalogue of models {path} has two models of the same id")
    return catalog
