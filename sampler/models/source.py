"""Where a model's files are: a folder or a repository in diffusers' format, or a single file and what it lacks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open

from sampler.errors import UnsupportedModel

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (diffusers is hardly typed)

WEIGHTS = (".safetensors", ".gguf")
# Formats whose loading may run code.
PICKLED = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
# Keys of an autoencoder in checkpoints of whole models.
AUTOENCODER = ("first_stage_model.", "vae.")
# Of a repository, what describes a model beside its weights.
DESCRIPTION = ["*.json", "**/*.json", "*.txt", "**/*.txt", "**/*.model", "**/*.jinja"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from, and in which form it is loaded.

    Attributes:
        location: a folder that holds `model_index.json`; a `.safetensors` or `.gguf` file; or, on the hub, a repository
            ("owner/name") or a file of one ("owner/name/path/file.gguf").
        base: for a file, the folder or repository in diffusers' format that has what the file lacks: the
            configuration, the tokenizers, and for a file with the network alone the other components. By default what
            lies beside the file: the folder of its name without suffix, or its own folder.
        variant: of the weights in a folder or repository, such as "fp16".
        revision: of a repository.
        quantization: empty for none; else `quant_backend`, `quant_kwargs` and `components_to_quantize` as diffusers'
            `PipelineQuantizationConfig` names them, by default for the network alone.
    """

    location: str
    base: str | None = None
    variant: str | None = None
    revision: str | None = None
    quantization: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_file(self) -> bool:
        """Whether it is a single file rather than a folder or repository."""
        return Path(self.location).suffix in (*WEIGHTS, *PICKLED) and not Path(self.location).is_dir()


@dataclass(frozen=True, slots=True)
class Files:
    """A source on this machine.

    Attributes:
        folder: in diffusers' format.
        file: the single file; None if all weights are in the folder.
        whole: whether the file holds a whole model, rather than its network alone.
    """

    folder: Path
    file: Path | None = None
    whole: bool = False


def locate(source: Source, allowed: Collection[str]) -> Files:
    """The files of a source, downloaded if needed and allowed.

    Raises:
        UnsupportedModel: they are missing, or of a kind that is not loaded.
    """
    if not source.is_file:
        return Files(_folder(source, source.location, allowed))
    suffix = Path(source.location).suffix
    if suffix in PICKLED:
        raise UnsupportedModel(
            f"{source.location} is a pickle, which may run any code when it is loaded: convert it to .safetensors"
        )
    file = Path(source.location)
    if not file.is_file() and not file.is_absolute() and source.location in allowed:
        file = _downloaded_file(source)
    if not file.is_file():
        raise UnsupportedModel(f"{source.location}: there is no such file")
    whole = suffix == ".safetensors" and _is_whole(file)
    return Files(_base(source, file, whole, allowed), file, whole)


def _is_whole(file: Path) -> bool:
    with safe_open(file, "pt") as opened:
        return any(key.startswith(AUTOENCODER) for key in opened.keys())  # noqa: SIM118 (it is no dict)


def _base(source: Source, file: Path, whole: bool, allowed: Collection[str]) -> Path:
    """The folder with what a file lacks."""
    if source.base is None:
        found = next((f for f in (file.with_suffix(""), file.parent) if (f / "model_index.json").is_file()), None)
        if found is None:
            lacks = "the configuration and the tokenizers" if whole else "all but the network"
            raise UnsupportedModel(
                f"{file} has weights alone: name the folder or repository in diffusers' format that has {lacks} as "
                f"its base, or put that into a folder {file.stem} beside it"
            )
        return found
    folder = Path(source.base)
    if folder.is_absolute() or folder.is_dir() or source.base not in allowed:
        return folder
    from diffusers import DiffusionPipeline
    from huggingface_hub import snapshot_download

    try:
        described = Path(snapshot_download(source.base, allow_patterns=DESCRIPTION))
        if not whole:
            # Everything but the network's weights, which the file has.
            DiffusionPipeline.download(source.base, use_safetensors=True, transformer=None, unet=None)
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{source.base} could not be downloaded: {error}") from error
    return described


def _folder(source: Source, location: str, allowed: Collection[str]) -> Path:
    """The folder of a whole model."""
    folder = Path(location)
    if folder.is_absolute() or folder.is_dir() or location not in allowed:
        return folder
    from diffusers import DiffusionPipeline

    try:
        options = {"variant": source.variant, "revision": source.revision}
        return Path(str(DiffusionPipeline.download(location, use_safetensors=True, **options)))
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{location} could not be downloaded: {error}") from error


def _downloaded_file(source: Source) -> Path:
    from huggingface_hub import hf_hub_download

    owner, name, path = source.location.split("/", 2)
    try:
        return Path(hf_hub_download(f"{owner}/{name}", path, revision=source.revision))
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{source.location} could not be downloaded: {error}") from error
