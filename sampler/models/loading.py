"""From the files of a model to one that the sampler can drive.

diffusers and transformers take seconds to import: that waits until a model is loaded.
"""

import json
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from sampler.denoiser import Model
from sampler.errors import UnsupportedModel
from sampler.models.source import Files, Source, locate

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (diffusers is hardly typed)

LIBRARIES = {"diffusers", "transformers"}
# Arguments of pipelines' constructors, for parts that are not wanted.
WITHOUT = {"safety_checker": None, "requires_safety_checker": False, "watermarker": None, "add_watermarker": False}


def load_model(
    source: Source | str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    allowed: Collection[str] = (),
) -> Model:
    """Load a diffusers pipeline: weights from safetensors or GGUF only, and no code that comes with them is run.

    Args:
        source: see `Source`; a text or path is its location. What is on the hub is downloaded into the hub's cache
            unless it is there.
        device: of the network.
        dtype: of the network; states are float32 whatever it is.
        allowed: what may be downloaded from the hub, by its location.

    Raises:
        UnsupportedModel: it is missing, not allowed, or incomplete, or not what the adapter assumes of a pipeline.
    """
    if not isinstance(source, Source):
        source = Source(str(source))
    shown = source.location
    with _no_progress_bars():
        from diffusers.loaders.single_file_utils import SingleFileComponentError

        from sampler.models.adapter import PipelineModel

        try:
            files = locate(source, allowed)
            index = _read_index(files.folder)
            pipeline = _pipeline_class(files.folder, index)
            without = {n: value for n, value in WITHOUT.items() if n in signature(pipeline.__init__).parameters}
            loaded = {part: entry for part, entry in index.items() if part not in without}
            foreign = {part: entry for part, entry in loaded.items() if not _is_known_component(part, entry)}
            if foreign:
                raise UnsupportedModel(f"components from other libraries would run foreign code: {foreign}")
            made = _made(pipeline, index, files, source, dtype, without)
            made.set_progress_bar_config(disable=True)
            _check_complete(made)
            made.to(torch.device(device))
            for part in made.components.values():
                # The faster layout for convolutions, on CPUs and GPUs alike; without effect on other layers.
                if isinstance(part, torch.nn.Module) and not getattr(part, "is_quantized", False):
                    part.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        except UnsupportedModel as error:
            raise UnsupportedModel(_about(shown, str(error))) from error
        except NotImplementedError as error:  # PyTorch, about a tensor without data
            raise UnsupportedModel(f"{shown}: its files lack weights that its configuration has") from error
        except (
            OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError,
            SingleFileComponentError,
        ) as error:  # fmt: skip
            raise UnsupportedModel(f"{shown} could not be loaded: {error}") from error
        try:
            return PipelineModel(made)
        except UnsupportedModel as error:
            raise UnsupportedModel(f"{shown}: {pipeline.__name__} cannot be sampled: {error}") from error
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
            raise UnsupportedModel(f"{shown} could not be loaded: {error}") from error


def _about(shown: str, message: str) -> str:
    return message if message.startswith(shown) else f"{shown}: {message}"


def _made(
    pipeline: Any, index: Mapping[str, Any], files: Files, source: Source, dtype: torch.dtype, without: dict[str, Any]
) -> Any:
    """The pipeline of these files."""
    options: dict[str, Any] = {"dtype": dtype, "local_files_only": True}
    quantized = _quantization(source, index)
    if files.file is not None and files.whole:
        if quantized:
            raise UnsupportedModel("a checkpoint of a whole model is not quantised: convert it to a folder first")
        return pipeline.from_single_file(str(files.file), config=str(files.folder), **options, **without)
    parts = without
    if files.file is not None:
        name = next((name for name in ("transformer", "unet") if name in index), None)
        if name is None:
            raise UnsupportedModel(f"{files.folder}: it has no transformer or unet that the file could replace")
        parts = without | {name: _network(index[name][1], name, files, dtype)}
    return pipeline.from_pretrained(
        str(files.folder), use_safetensors=True, variant=source.variant, **quantized, **options, **parts
    )


def _check_complete(pipeline: Any) -> None:
    """Diffusers leaves weights that a single file lacks without data.

    Raises:
        UnsupportedModel: some are.
    """
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            lacking = [key for key, value in part.named_parameters() if value.is_meta]
            if lacking:
                more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
                raise UnsupportedModel(f"its files lack weights of {name}: {lacking[0]}{more}")


def _network(kind: str, name: str, files: Files, dtype: torch.dtype) -> Any:
    """A pipeline's network from a file of its own."""
    import diffusers

    made: Any = getattr(diffusers, kind)
    if not hasattr(made, "from_single_file"):
        raise UnsupportedModel(f"diffusers cannot load a {kind} from a single file")
    options: dict[str, Any] = {}
    if files.file is not None and files.file.suffix == ".gguf":
        if find_spec("gguf") is None:
            raise UnsupportedModel("GGUF files need the package gguf: pip install gguf")
        options["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    return made.from_single_file(
        str(files.file), config=str(files.folder), subfolder=name, dtype=dtype, local_files_only=True, **options
    )


def _quantization(source: Source, index: Mapping[str, Any]) -> dict[str, Any]:
    """The argument of `from_pretrained` that quantises weights as they are loaded; none without quantisation."""
    if not source.quantization:
        return {}
    import diffusers.quantizers.auto
    import transformers.quantizers.auto
    from diffusers import PipelineQuantizationConfig

    classes: dict[str, Mapping[str, Any]] = {
        "diffusers": diffusers.quantizers.auto.AUTO_QUANTIZATION_CONFIG_MAPPING,
        "transformers": transformers.quantizers.auto.AUTO_QUANTIZATION_CONFIG_MAPPING,
    }
    backend = str(source.quantization.get("quant_backend"))
    parts = source.quantization.get("components_to_quantize") or [p for p in ("transformer", "unet") if p in index]
    mapping: dict[str, Any] = {}
    for part in parts:
        library = index.get(part, [None])[0]
        if library not in classes:
            raise UnsupportedModel(f"quantization: it has no component {part} of diffusers or transformers")
        if backend not in classes[library]:
            raise UnsupportedModel(f"quantization: quant_backend must be one of {', '.join(classes[library])}")
        mapping[part] = classes[library][backend](**source.quantization.get("quant_kwargs", {}))
    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


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
