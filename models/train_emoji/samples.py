"""One picture of a pipeline's samples: fixed prompts and seed, one row for each guidance scale."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

# pyright: reportPrivateImportUsage=false
from diffusers import StableDiffusionPipeline
from PIL import Image

PROMPTS = (
    *("red heart", "cat face", "pizza", "rocket", "grinning face", "tropical fish", "house", "guitar", "sunflower"),
    *("tiger face", "hamburger", "soccer ball"),
)
STEPS = 50


def draw_samples(
    pipeline: StableDiffusionPipeline, path: Path, prompts: tuple[str, ...], scales: list[float], seed: int
) -> None:
    """Save the grid to ``path``: a column for each of ``prompts``, a row for each of ``scales``, twice magnified.

    Each picture starts from its own generator with the same seed, as the application would draw it alone.
    """
    pipeline.set_progress_bar_config(disable=True)
    rows: list[np.ndarray] = []
    for scale in scales:
        generators = [torch.Generator().manual_seed(seed) for _ in prompts]
        made: Any = pipeline(
            list(prompts), num_inference_steps=STEPS, guidance_scale=scale, generator=generators, output_type="np"
        )
        rows.append(np.concatenate(list(made.images), axis=1))
    grid = Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8))
    grid.resize((grid.width * 2, grid.height * 2), Image.Resampling.NEAREST).save(path)
