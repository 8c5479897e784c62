"""Measures how exact the sampler is, family by family and solver by solver, and writes docs/exactness.md.

    python -m benchmarks.exactness

Families are tiny randomly initialised components built from configs; the shipped model is the last one.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor

from sampler import load_model
from tests.sampler.oracle import Request, has_oracle, ours, theirs
from tests.sampler.tiny import EMOJI, FAMILIES, build, size

PAGE = Path(__file__).parents[1] / "docs" / "exactness.md"
TOLERANCE = 1e-4
STEPS, BLOCKS = 12, 4
TEXT = f"""# Exactness

Written by `python -m benchmarks.exactness`, with diffusers {diffusers.__version__}, in float32 on a CPU.

The relative error (RMS of the difference over RMS, of the final sample in latent space) for each model family and
solver, with {STEPS} steps:

- **diffusers**: our serial sampler compared with diffusers' own pipeline with that solver's scheduler and the same
  seed. A dash means that diffusers has no such pair.
- **p = B**: the last iterate of SRDS with {BLOCKS} blocks compared with our serial sampler.
- **batch**: a sample that shares its rounds with two others (other seeds, prompts, guidance scales, numbers of blocks)
  compared with the same sample alone.

All errors must be at most {TOLERANCE:g}. `own` is the solver that the model ships with. `eta` is stochastic DDIM with
eta = 0.6; for it and for ddpm both sides get the same noise. The families are tiny, randomly initialised models, so
that anyone can reproduce this page. `emoji` is the model that ships with the project. Prompts, negative prompts and
guidance are used if the family has them.

| family | solver | diffusers | p = B | batch |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """One line of the table; `serial` is None where diffusers has no counterpart."""

    family: str
    solver: str
    serial: float | None
    parareal: float
    batch: float

    @property
    def worst(self) -> float:
        return max(self.serial or 0.0, self.parareal, self.batch)


def relative_error(sample: Tensor, reference: Tensor) -> float:
    """RMS of the difference over RMS of the reference."""
    return float((sample - reference).norm() / reference.norm())


def measure(family: str, model: Any, pipeline: Any, request: Request) -> Row:
    """All figures of one family with one solver."""
    serial = ours(model, [request], [1])[0]
    last = ours(model, [request], [BLOCKS])[0]
    prompt = {"dit": "8"}.get(family, "a large pizza")
    others = [
        replace(request, seed=4, prompt=prompt, guidance_scale=6.0, negative_prompt=""),
        replace(request, seed=5, guidance_scale=1.0, options=()),
    ]
    shared = ours(model, [request, *others], [1, BLOCKS, 2])[0]
    own = has_oracle(family, request.solver)
    return Row(
        family,
        "eta" if request.eta else request.solver or f"own ({model.process.default})",
        relative_error(serial, theirs(family, pipeline, request)) if own else None,
        relative_error(last, serial),
        relative_error(shared, serial),
    )


def rows(folder: Path) -> Iterator[Row]:
    """Every family with its own solver and all others that it has."""
    for family in [*FAMILIES, "emoji"]:
        path = EMOJI if family == "emoji" else build(family, folder)
        model: Any = load_model(path)
        pipeline = DiffusionPipeline.from_pretrained(path, dtype=torch.float32, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        height, width = (64, 64) if family == "emoji" else size(family)
        prompt = {"dit": "7"}.get(family, "red heart")
        options = (("true_cfg_scale", 2.0),) if family == "flux" else ()
        request = Request(height, width, prompt, steps=STEPS, options=options)
        for solver in (None, *model.process.solvers):
            yield measure(family, model, pipeline, replace(request, solver=solver))
        if "ddim" in model.process.solvers and family not in ("dit", "ddpm-pixels"):
            yield measure(family, model, pipeline, replace(request, solver="ddim", eta=0.6))


def main() -> None:
    """Measure, write the page, and fail where a figure is not within the tolerance."""
    torch.set_num_threads(1)
    lines, worst = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(Path(folder)):
            serial = "–" if row.serial is None else f"{row.serial:.0e}"
            lines.append(f"| {row.family} | {row.solver} | {serial} | {row.parareal:.0e} | {row.batch:.0e} |")
            worst = max(worst, row.worst)
            print(lines[-1], flush=True)
    PAGE.write_text(TEXT + "\n".join(lines) + f"\n\nThe largest figure is {worst:.1e}.\n")
    if worst > TOLERANCE:
        raise SystemExit(f"{worst:.1e} exceeds the tolerance of {TOLERANCE:g}")


if __name__ == "__main__":
    main()
