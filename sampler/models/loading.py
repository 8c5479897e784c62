"""From a folder in diffusers' format to a model that the sampler can drive."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from sampler.denoiser import Model
from sampler.errors import UnsupportedModel
from sampler.models.stable_diffusion import StableDiffusion

FAMILIES = {"StableDiffusionPipeline": StableDiffusion}
LIBRARIES = {"diffusers", "transformers"}


def load_model(path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Model:
    """Load a diffusers pipeline folder: safetensors weights only, nothing downloaded, no code from the folder run.

    Args:
        path: the folder that holds `model_index.json`.
        device: where the network runs.
        dtype: of the network; states are float32 whatever it is.

    Raises:
        UnsupportedModel: the folder is missing or incomplete, or its family is not one that we know.
    """
    folder = Path(path)
    index = _read_index(folder)
    family = FAMILIES.get(str(index.get("_class_name")))
    if family is None:
        raise UnsupportedModel(f"{folder}: {index.get('_class_name')} is not supported; known: {', '.join(FAMILIES)}")
    foreign = {part: entry for part, entry in index.items() if not _is_known_component(part, entry)}
    if foreign:
        raise UnsupportedModel(f"{folder}: components from other libraries would run foreign code: {foreign}")
    try:
        with _no_progress_bars():
            return family.load(folder, torch.device(device), dtype)
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{folder} could not be loaded: {error}") from error


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "model_index.json").read_text())
    except FileNotFoundError as error:
        raise UnsupportedModel(f"{folder} is no diffusers model: it has no model_index.json") from error
    except ValueError as error:
        raise UnsupportedModel(f"{folder}/model_index.json is not valid JSON: {error}") from error


def _is_known_component(part: str, entry: Any) -> bool:
    return not (isinstance(entry, list) and not part.startswith("_")) or entry[0] is None or entry[0] in LIBRARIES


@contextmanager
def _no_progress_bars() -> Generator[None, None, None]:
    """Both libraries draw bars on standard error while they load, which is the caller's."""
    libraries = (diffusers_logging, transformers_logging)
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()
