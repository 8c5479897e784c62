"""What is known of a model by the family of its pipeline: the defaults and limits of a catalogue entry that has none.

What the model's own files say (the size of its pictures, its licence) goes before what its family says.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.model_files import ModelFiles, read_json

EXAMPLES = ["a lighthouse at dawn, oil on canvas", "a bowl of oranges on a wooden table", "a cat in a raincoat"]
FEW_STEPS = 10  # a model of so few is run serially: there is little to do in parallel


@dataclass(frozen=True)
class Family:
    """Of the models of one pipeline class, as their authors recommend.

    Attributes:
        steps, guidance: of a request.
        size: pixels along each side; None if the model's files say it.
        multiple: of which sizes must be multiples, in pixels.
        characters: of a prompt: what its text encoder takes, at about four a token.
    """

    steps: int
    guidance: float
    size: int | None = 1024
    multiple: int = 16
    characters: int = 2000


OTHER = Family(30, 5.0)
# Source: the model cards of each family's first model, and the defaults of its pipeline in diffusers 0.42.
FAMILIES = {
    "AuraFlowPipeline": Family(30, 3.5),
    "ChromaPipeline": Family(40, 4.0),
    "CogView4Pipeline": Family(50, 5.0, multiple=32),
    "DDIMPipeline": Family(50, 1.0, None, 1, 100),
    "DDPMPipeline": Family(50, 1.0, None, 1, 100),
    "DiTPipeline": Family(50, 4.0, 256, 8, 100),
    "Flux2KleinPipeline": Family(4, 1.0),
    "Flux2Pipeline": Family(50, 4.0),
    "FluxKontextPipeline": Family(28, 2.5),
    "FluxPipeline": Family(28, 3.5),
    "HiDreamImagePipeline": Family(50, 5.0),
    "Kandinsky3Pipeline": Family(25, 3.0, multiple=64),
    "Krea2Pipeline": Family(28, 4.5),
    "Lumina2Pipeline": Family(50, 4.0),
    "PixArtAlphaPipeline": Family(20, 4.5, None, 16, 480),
    "PixArtSigmaPipeline": Family(20, 4.5, None, 16, 1200),
    "QwenImagePipeline": Family(50, 1.0),
    "SanaPipeline": Family(20, 4.5, 1024, 32),
    "StableDiffusion3Pipeline": Family(28, 7.0, 1024, 16, 1000),
    "StableDiffusionPipeline": Family(50, 7.5, None, 8, 300),
    "StableDiffusionXLPipeline": Family(30, 5.0, None, 8, 300),
    "ZImagePipeline": Family(50, 5.0),
}
# Distilled models, by what their names or schedulers say.
TURBO = re.compile(r"turbo|schnell|lightning|hyper|distill", re.IGNORECASE)


def complete(entry: dict[str, Any], files: ModelFiles) -> dict[str, Any]:
    """A catalogue entry with everything that it leaves out: only `id` and `source` are needed."""
    source, kind = str(entry.get("source", "")), entry.get("kind") or files.kind
    family = FAMILIES.get(str(kind), OTHER)
    side, multiple = _size(files.folder, family)
    turbo = bool(TURBO.search(f"{source} {entry.get('id', '')}"))
    steps, guidance = (4, 1.0) if turbo and family.steps > FEW_STEPS else (family.steps, family.guidance)
    defaults = {
        "method": "serial" if steps <= FEW_STEPS else "auto",
        "steps": steps,
        "guidance_scale": guidance,
        "width": side,
        "height": side,
        "tolerance": 0.005,
    }
    limits = {
        "max_steps": 1000 if steps > FEW_STEPS else 100,
        "min_size": min(side, max(multiple, side // 2 // multiple * multiple)),
        "max_size": side * 2,
        "multiple_of": multiple,
        "max_guidance_scale": 20.0,
        "max_images": 4,
        "max_prompt_characters": family.characters,
    }
    return {
        "title": str(entry.get("id", "")).replace("-", " ").replace("_", " ").capitalize() or "Model",
        "description": f"{kind or 'A model'} from {source}.",
        "license": _licence(files.folder) or "unknown: see where the model comes from",
        "dtype": "auto",
        "width": 4,
        "example_prompts": EXAMPLES,
        **entry,
        "defaults": {**defaults, **entry.get("defaults", {})},
        "limits": {**limits, **entry.get("limits", {})},
    }


def _size(folder: Path | None, family: Family) -> tuple[int, int]:
    """Pixels along each side, and of what they must be a multiple."""
    if folder is None:
        return family.size or 512, family.multiple
    network = read_json(folder / "unet" / "config.json") or read_json(folder / "transformer" / "config.json")
    vae = read_json(folder / "vae" / "config.json")
    # As diffusers' pipelines compute it.
    scale = 2 ** (len(vae["block_out_channels"]) - 1) if "block_out_channels" in vae else 8 if vae else 1
    patch = network.get("patch_size")
    multiple = scale * patch if isinstance(patch, int) else scale if "unet" in _parts(folder) else family.multiple
    side = network.get("sample_size")
    if family.size is None and isinstance(side, int):
        return side * scale, multiple
    return family.size or 512, max(multiple, family.multiple)


def _parts(folder: Path) -> set[str]:
    return set(read_json(folder / "model_index.json"))


def _licence(folder: Path | None) -> str | None:
    """What the model card of a repository says in its front matter."""
    try:
        text = "" if folder is None else (folder / "README.md").read_text("utf-8")
    except (OSError, ValueError):
        return None
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license(?:_name)?:\s*[\"']?([^\s\"']+)", front[1], re.MULTILINE) if front else None
    return found[1] if found else None
