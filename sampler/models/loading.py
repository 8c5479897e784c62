"""From a folder in diffusers' format, or an allowed repository of the hub, to a model that the sampler can drive.

diffusers and transformers take seconds to import: that waits until a model is loaded, and so do the families.
"""

import json
from collections.abc import Collection, Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from sampler.denoiser import Model
from sampler.errors import UnsupportedModel

if TYPE_CHECKING:
    from sampler.models.base import DiffusersModel

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (diffusers is hardly typed)

# The pipeline that a model names, and its family: a module in this package, and a class in it.
FAMILIES = {
    "DDIMPipeline": ("unconditional", "Unconditional"),
    "DDPMPipeline": ("unconditional", "Unconditional"),
    "DiTPipeline": ("dit", "DiT"),
    "FluxPipeline": ("flux", "Flux"),
    "PixArtAlphaPipeline": ("pixart", "PixArt"),
    "PixArtSigmaPipeline": ("pixart", "PixArt"),
    "StableDiffusion3Pipeline": ("stable_diffusion_3", "StableDiffusion3"),
    "StableDiffusionPipeline": ("stable_diffusion", "StableDiffusion"),
    "StableDiffusionXLPipeline": ("stable_diffusion_xl", "StableDiffusionXL"),
}
LIBRARIES = {"diffusers", "transformers"}


def load_model(
    source: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    allowed: Collection[str] = (),
) -> Model:
    """Load a diffusers pipeline: safetensors weights only, and no code that comes with it is run.

    Args:
        source: a folder that holds `model_index.json`; or a hub repository ("owner/name"), which is downloaded into the
            hub's cache unless it is there.
        device: of the network.
        dtype: of the network; states are float32 whatever it is.
        allowed: the hub repositories that may be downloaded.

    Raises:
        UnsupportedModel: it is missing, not allowed, or incomplete, or its family is not one that we know.
    """
    with _no_progress_bars():
        folder = _folder(source, allowed)
        index = _read_index(folder)
        name = str(index.get("_class_name"))
        if name not in FAMILIES:
            raise UnsupportedModel(f"{folder}: {name} is not supported; known: {', '.join(FAMILIES)}")
        family = _family(name)
        loaded = {part: entry for part, entry in index.items() if part not in family.without}
        foreign = {part: entry for part, entry in loaded.items() if not _is_known_component(part, entry)}
        if foreign:
            raise UnsupportedModel(f"{folder}: components from other libraries would run foreign code: {foreign}")
        try:
            return family.load(str(folder), name, torch.device(device), dtype)
        except UnsupportedModel:
            raise
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
            raise UnsupportedModel(f"{folder} could not be loaded: {error}") from error


def _family(pipeline: str) -> "type[DiffusersModel]":
    """The family of a pipeline; imports both."""
    import diffusers
    from transformers.utils import logging

    module, name = FAMILIES[pipeline]
    family = getattr(import_module(f"sampler.models.{module}"), name)
    shown = logging.get_verbosity()
    logging.set_verbosity_error()  # it lists packages that optional parts of a pipeline need
    try:
        getattr(diffusers, pipeline)
    finally:
        logging.set_verbosity(shown)
    return family


def _folder(source: str | Path, allowed: Collection[str]) -> Path:
    """The folder of the model, downloaded if needed (and allowed)."""
    folder = Path(source)
    if folder.is_absolute() or folder.is_dir() or str(source) not in allowed:
        return folder
    from diffusers import DiffusionPipeline

    try:
        return Path(str(DiffusionPipeline.download(str(source), use_safetensors=True)))
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{source} could not be downloaded: {error}") from error


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "model_index.json").read_text())
    except FileNotFoundError as error:
        raise UnsupportedModel(
            f"{folder} is no diffusers model: it has no model_index.json (a hub repository has to be allowed)"
        ) from error
    except ValueError as error:
        raise UnsupportedModel(f"{folder}/model_index.json is not valid JSON: {error}") from error


def _is_known_component(part: str, entry: Any) -> bool:
    return not (isinstance(entry, list) and not part.startswith("_")) or entry[0] is None or entry[0] in LIBRARIES


@contextmanager
def _no_progress_bars() -> Generator[None, None, None]:
    """Both libraries draw bars on standard error while they load, which is the caller's."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()
