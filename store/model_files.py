"""The files of a model, looked at without loading them: which pipeline they make, how large they are, what is wrong.

The command, the API and the worker use it; it reads headers and small files alone.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

WEIGHTS = (".safetensors", ".gguf")
# Formats whose loading may run code.
PICKLED = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
INDEX = "model_index.json"
# Components that need weights, as pipelines name them; and those that are not loaded.
NETWORKS = ("unet", "transformer", "vae", "movq", "vqvae", "text_encoder", "prior")
UNUSED = ("safety_checker", "watermarker")
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "BOOL": 8}
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself has it
POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class ModelFiles:
    """What lies where a catalogue entry points to.

    Attributes:
        folder: in diffusers' format; None if it is not on this machine.
        file: the single file with weights; None if there is none.
        kind: the class of its pipeline; None if it is not known.
        fault: why it cannot be loaded; None if nothing is seen to be wrong, or it is on the hub.
        size: bytes of its weights in memory; 0 if that is not known.
        flow: whether it is trained by flow matching, as its scheduler says; None if that is not known.
    """

    folder: Path | None
    file: Path | None
    kind: str | None
    fault: str | None
    size: int
    flow: bool | None = None


NOTHING = ModelFiles(None, None, None, None, 0)


@dataclass(frozen=True)
class Place:
    """Where a model's files are to be looked for; see ``store.catalog.ModelCard``.

    Attributes:
        location, base: absolute paths, or places on the hub.
        dtype: of the weights in memory.
        variant: of the weights' files.
        quantization: of the entry.
    """

    location: str
    base: str | None
    dtype: str
    variant: str | None
    quantization: Mapping[str, Any]


def is_file(location: str) -> bool:
    """Whether a location means a single file."""
    return location.endswith((*WEIGHTS, *PICKLED)) and not Path(location).is_dir()


def look(place: Place) -> ModelFiles:
    """What lies there."""
    file = Path(place.location) if is_file(place.location) else None
    if file is None:
        folder = _folder(place.location)
    elif place.base is not None:
        folder = _folder(place.base)
    else:
        folder = next((f for f in (file.with_suffix(""), file.parent) if (f / INDEX).is_file()), None)
    index = read_json(folder / INDEX) if folder is not None else {}
    kind = index.get("_class_name")
    fault = _fault(place, file, folder)
    size = 0 if fault else _size(place, file, folder)
    return ModelFiles(folder, file, str(kind) if kind else None, fault, size, _is_flow(folder))


def _is_flow(folder: Path | None) -> bool | None:
    """As `sampler.grid.is_flow` sees it."""
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json") if folder is not None else {}
    name = str(scheduler.get("_class_name", ""))
    if not name:
        return None
    return name.startswith("FlowMatch") or bool(scheduler.get("use_flow_sigmas"))


def _folder(location: str) -> Path | None:
    """The folder of a path, or the newest copy of a repository in the hub's cache."""
    path = Path(location)
    if path.is_absolute():
        return path if path.is_dir() else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(location, INDEX)
    return Path(found).parent if isinstance(found, str) else None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none."""
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", read) if isinstance(read, dict) else {}


# What is wrong --------------------------------------------------------------------------------------------------------


def _fault(place: Place, file: Path | None, folder: Path | None) -> str | None:
    path = Path(place.location)
    if path.suffix in PICKLED and file is not None:
        return f"{path} is a pickle, which may run any code when it is loaded: convert it to .safetensors"
    if file is not None and not file.is_absolute():
        return None  # a file of the hub
    if file is not None and not file.is_file():
        return f"there is no {file}"
    if folder is None:
        on_hub = place.base if file is not None else place.location
        if on_hub is not None and not Path(on_hub).is_absolute():
            return None
        if file is None or place.base is not None:
            return f"there is no {Path(place.base or place.location) / INDEX}"
        return f"{file} has weights alone: name a folder or repository in diffusers' format as its base"
    if not (folder / INDEX).is_file():
        return f"there is no {folder / INDEX}"
    if not read_json(folder / INDEX).get("_class_name"):
        return f"{folder / INDEX} does not name a pipeline"
    files = [file] if file is not None else []
    return next(
        (wrong for weights in [*files, *folder.rglob("*.safetensors")] if (wrong := damage(weights))), None
    ) or (_missing(folder, place.variant) if file is None else None)


def damage(file: Path) -> str | None:
    """What is wrong with a file of weights; None if it is whole."""
    try:
        with file.open("rb") as opened:
            start = opened.read(24)
        if start.startswith(POINTER):
            return f"{file} is a pointer of Git LFS: fetch the file itself (git lfs pull)"
        if file.suffix == ".gguf":
            return None if start.startswith(b"GGUF") else f"{file} is no GGUF file"
        length, header = header_of(file)
    except (OSError, ValueError) as error:
        return f"{file} is damaged: {error}"
    ends = [each["data_offsets"][1] for name, each in header.items() if name != "__metadata__"]
    expected, size = 8 + length + max(ends, default=0), file.stat().st_size
    return f"{file} is cut: it has {size} of {expected} bytes" if size < expected else None


def header_of(file: Path) -> tuple[int, Mapping[str, Any]]:
    """The length of a safetensors file's header, and the header.

    Raises:
        OSError, ValueError: there is none.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > LONGEST_HEADER:
            raise ValueError("it does not begin as safetensors files do")
        header = json.loads(opened.read(length))
    return length, header


def _missing(folder: Path, variant: str | None) -> str | None:
    """What of a folder's weights is not there."""
    for part, entry in read_json(folder / INDEX).items():
        if not part.startswith(NETWORKS) or not isinstance(entry, list) or cast("list[Any]", entry)[0] is None:
            continue
        if not _weights(folder / part, variant):
            pickled = any(each.suffix in PICKLED for each in (folder / part).glob("*"))
            why = "pickled weights alone, which are not loaded" if pickled else "no weights"
            form = f" of variant {variant}" if variant else ""
            return f"{folder / part} has {why}: it needs .safetensors files{form}"
        for index in (folder / part).glob("*.safetensors.index.json"):
            if _variant_of(index) != variant:
                continue
            shards = set(read_json(index).get("weight_map", {}).values())
            if lacking := sorted(name for name in shards if not (folder / part / name).is_file()):
                return f"{folder / part} lacks {lacking[0]}{f' and {len(lacking) - 1} more' if lacking[1:] else ''}"
    return None


def _variant_of(file: Path) -> str | None:
    """ "fp16" of "model.fp16.safetensors" and "model.fp16-00001-of-00002.safetensors"."""
    parts = file.name.removesuffix(".json").removesuffix(".index").removesuffix(".safetensors").split(".")
    return parts[1].split("-")[0] if len(parts) > 1 else None


def _weights(part: Path, variant: str | None) -> list[Path]:
    """The files that diffusers would load for a component: those of the variant, or else those of none."""
    files = sorted(part.glob("*.safetensors"))
    return [f for f in files if _variant_of(f) == variant] or [f for f in files if _variant_of(f) is None]


# How large it is ------------------------------------------------------------------------------------------------------


def _size(place: Place, file: Path | None, folder: Path | None) -> int:
    total = 0
    whole = False
    if file is not None and file.is_file():
        if file.suffix == ".gguf":
            total += file.stat().st_size
        else:
            header = header_of(file)[1]
            whole = any(name.startswith(("first_stage_model.", "vae.")) for name in header)
            total += _bits(header, _bits_of(place.dtype)) // 8
    if folder is not None and not whole:
        for part in _parts(folder):
            if file is not None and part in ("unet", "transformer"):
                continue
            bits = _quantized(place, part) or _bits_of(place.dtype)
            total += sum(_bits(header_of(each)[1], bits) for each in _weights(folder / part, place.variant)) // 8
    return total


def _parts(folder: Path) -> Iterator[str]:
    for part, entry in read_json(folder / INDEX).items():
        if isinstance(entry, list) and cast("list[Any]", entry)[0] is not None and part not in UNUSED:
            yield part


def _quantized(place: Place, part: str) -> float | None:
    """Bits of a weight of a component that is quantised; None for another one."""
    quantization = place.quantization
    if not quantization or part not in (quantization.get("components_to_quantize") or ("unet", "transformer")):
        return None
    said = json.dumps(quantization)
    return 4.5 if any(name in said for name in ("4bit", "int4", "nf4", "fp4")) else 8.5


def _bits_of(dtype: str) -> int:
    return 32 if dtype in ("auto", "float32") else 16


def _bits(header: Mapping[str, Any], float_bits: float) -> int:
    """Bits of a file's tensors, with floating point numbers of so many."""
    total = 0.0
    for name, each in header.items():
        if name != "__metadata__":
            bits = float_bits if each["dtype"] in FLOATS else BITS.get(each["dtype"], 8)
            total += math.prod(each["shape"]) * bits
    return int(total)
