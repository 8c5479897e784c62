"""From a folder in diffusers' format, or an allowed repository of the hub, to a model that the sampler can drive.

diffusers and transformers take seconds to import: that waits until a model is loaded.
"""

import json
from collections.abc import Collection, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from sampler.denoiser import Model
from sampler.errors import UnsupportedModel

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (diffusers is hardly typed)

LIBRARIES = {"diffusers", "transformers"}
# Arguments of pipelines' constructors, for parts that are not wanted.
WITHOUT = {"safety_checker": None, "requires_safety_checker": False, "watermarker": None, "add_watermarker": False}


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
        UnsupportedModel: it is missing, not allowed, or incomplete, or not what the adapter assumes of a pipeline.
    """
    with _no_progress_bars():
        folder = _folder(source, allowed)
        index = _read_index(folder)
        pipeline = _pipeline_class(folder, index)
        without = {name: value for name, value in WITHOUT.items() if name in signature(pipeline.__init__).parameters}
        loaded = {part: entry for part, entry in index.items() if part not in without}
        foreign = {part: entry for part, entry in loaded.items() if not _is_known_component(part, entry)}
        if foreign:
            raise UnsupportedModel(f"{folder}: components from other libraries would run foreign code: {foreign}")
        from sampler.models.adapter import PipelineModel

        try:
            made = pipeline.from_pretrained(
                str(folder), dtype=dtype, use_safetensors=True, local_files_only=True, **without
            )
            made.set_progress_bar_config(disable=True)
            made.to(torch.device(device))
            for part in made.components.values():
                # The faster layout for convolutions, on CPUs and GPUs alike; without effect on other layers.
                if isinstance(part, torch.nn.Module):
                    part.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            return PipelineModel(made)
        except UnsupportedModel as error:
            raise UnsupportedModel(f"{folder}: {pipeline.__name__} cannot be sampled: {error}") from error
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
            raise UnsupportedModel(f"{folder} could not be loaded: {error}") from error


def _pipeline_class(folder: Path, index: dict[str, Any]) -> Any:
    """The diffusers class that a model names; imports diffusers.

    Raises:
        UnsupportedModel: there is none, or it makes pictures from more than a prompt.
    """
    import diffusers
    from transformers.utils import logging

    name = str(index.get("_class_name"))
    shown = logging.get_verbosity()
    logging.set_verbosity_error()  # it lists packages that optional parts of a pipeline need
    try:
        made: Any = getattr(diffusers, name, None) if name.endswith("Pipeline") else None
        if not isinstance(made, type) or not issubclass(made, diffusers.DiffusionPipeline):
            raise UnsupportedModel(f"{folder}: {name} is not a pipeline of diffusers {diffusers.__version__}")
    finally:
        logging.set_verbosity(shown)
    needed = [name for name, value in signature(made.__call__).parameters.items() if value.default is value.empty]
    if others := [n for n in needed if n not in ("self", "prompt", "class_labels", "args", "kwargs")]:
        raise UnsupportedModel(f"{folder}: {name} needs more than a prompt: {', '.join(others)}")
    return made


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
    """Whether an entry of the index is no component, or one of transformers, of diffusers, or of a pipeline in it."""
    if not isinstance(entry, list) or part.startswith("_") or entry[0] is None or entry[0] in LIBRARIES:
        return True
    library = str(entry[0])
    return library.isidentifier() and find_spec(f"diffusers.pipelines.{library}") is not None


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
