"""How far from the converged image a way to spend evaluations is: `python -m benchmarks.converged docs/few-steps.md`.

The converged image is that of DPM-Solver++(2M) with 1000 steps. Errors are relative (RMS over RMS, final latents),
means over prompts with a seed each. Everything is counted, so the same run gives the same page.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_deis_multistep import DEISMultistepScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from benchmarks.report import table
from benchmarks.shipped import EMOJI, PROMPTS, error, noises, run, shipped_model
from sampler import Collocation, Model, load_model

# The ways to space the steps; each scheduler counts with the one that is best for a number of steps.
SPACINGS: tuple[dict[str, Any], ...] = ({"timestep_spacing": "leading"}, {"timestep_spacing": "trailing"})
KARRAS: dict[str, Any] = {"use_karras_sigmas": True}
SCHEDULERS: dict[str, tuple[Any, tuple[dict[str, Any], ...]]] = {
    "DDIM": (DDIMScheduler, SPACINGS),
    "DPM-Solver++(2M)": (DPMSolverMultistepScheduler, (*SPACINGS, KARRAS)),
    "UniPC": (UniPCMultistepScheduler, (*SPACINGS, KARRAS)),
    "DEIS": (DEISMultistepScheduler, (*SPACINGS, KARRAS)),
}
BUDGETS = (8, 10, 12, 15, 20, 25, 30, 50)
GUIDANCES = (3.0, 7.5)
# (scheduler, N): as the model ships, DPM-Solver++ on the same timesteps, and on those of Karras.
GRIDS = (
    ("ddim", 100),
    ("ddim", 1000),
    ("dpm++", 100),
    ("dpm++, Karras", 28),
    ("dpm++, Karras", 50),
    ("dpm++, Karras", 100),
)
TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3)
CONVERGED = 1000

PAGE = """# Few steps, or few evaluations of many steps?

Written by `python -m benchmarks.converged docs/few-steps.md`, on the shipped model, with diffusers' pipeline and
schedulers. Underpaint's tolerance is about the image of the serial sampler with the same N. This page asks another
question: how far is an image from the *converged* one, which more steps would not change (DPM-Solver++(2M),
{converged} steps)? Errors are relative (RMS over RMS, final latents), means over {count} prompts with a seed each.

A solver with few steps: each scheduler with the best of the spacings `leading`, `trailing` and, but for DDIM,
that of Karras.

{few}

Collocation at width 1, on grids of many steps, by tolerance; evaluations in brackets.

{many}

{verdict}
"""


def images(pipeline: Any, scheduler: Any, steps: int, guidance: float, starts: Sequence[Tensor]) -> list[Tensor]:
    """The final latents of diffusers' own pipeline."""
    pipeline.scheduler = scheduler
    made: list[Tensor] = []
    for prompt, noise in zip(PROMPTS, starts, strict=False):
        out = pipeline(
            prompt,
            num_inference_steps=steps,
            guidance_scale=guidance,
            latents=noise[None].clone(),
            output_type="latent",
        )
        made.append(out.images[0])
    return made


def far(made: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """The mean relative error."""
    return mean(error(a, b) for a, b in zip(made, exact, strict=True))


def few(pipeline: Any, config: Any, guidance: float, starts: Sequence[Tensor], exact: Sequence[Tensor]):
    """A row for each scheduler, with the error by number of steps."""
    for name, (scheduler, spacings) in SCHEDULERS.items():
        errors = [
            min(
                far(images(pipeline, scheduler.from_config(config, **spacing), budget, guidance, starts), exact)
                for spacing in spacings
            )
            for budget in BUDGETS
        ]
        print(name, guidance, *(f"{each:.1e}" for each in errors), flush=True)
        yield name, errors


def karras_model(folder: Path) -> Model:
    """The shipped model with another scheduler."""
    shutil.copytree(EMOJI, folder, dirs_exist_ok=True)
    scheduler: Any = DDIMScheduler.from_pretrained(EMOJI, subfolder="scheduler")
    karras: Any = DPMSolverMultistepScheduler.from_config(scheduler.config, **KARRAS)
    karras.save_pretrained(folder / "scheduler")
    return load_model(folder)


def many(models: dict[str, Model], guidance: float, starts: Sequence[Tensor], exact: Sequence[Tensor]):
    """A row for each grid, with mean evaluations and error by tolerance."""
    for solver_name, steps in GRIDS:
        model = models[solver_name]
        solver = model.solver(steps, solver_name.partition(",")[0], height=64, width=64)
        cells: list[tuple[float, float]] = []
        for tolerance in TOLERANCES:
            ran = run(model, guidance, [Collocation(solver, noise, width=1, tolerance=tolerance) for noise in starts])
            last = [iterates[-1] for iterates in ran]
            cells.append((mean(each.evaluations for each in last), far([each.sample for each in last], exact)))
        print(solver_name, steps, guidance, *(f"{e:.1e} ({n:.0f})" for n, e in cells), flush=True)
        yield solver_name, steps, cells


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--prompts", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = shipped_model()
    with tempfile.TemporaryDirectory() as folder:
        models = {"ddim": model, "dpm++": model, "dpm++, Karras": karras_model(Path(folder))}
    pipeline: Any = StableDiffusionPipeline.from_pretrained(EMOJI, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    config = pipeline.scheduler.config
    starts = noises(model, arguments.prompts)
    few_rows: list[list[str]] = []
    many_rows: list[list[str]] = []
    verdicts: list[str] = []
    for guidance in GUIDANCES:
        converged = DPMSolverMultistepScheduler.from_config(config, timestep_spacing="trailing")
        exact = images(pipeline, converged, CONVERGED, guidance, starts)
        solvers = list(few(pipeline, config, guidance, starts, exact))
        few_rows += [[f"{guidance:g}", name, *(f"{each:.1e}" for each in errors)] for name, errors in solvers]
        ahead = total = 0
        for solver_name, steps, cells in many(models, guidance, starts, exact):
            many_rows.append([f"{guidance:g}", solver_name, str(steps), *(f"{e:.1e} ({n:.0f})" for n, e in cells)])
            for evaluations, own in cells:
                affordable = [i for i, budget in enumerate(BUDGETS) if budget <= evaluations]
                if affordable:
                    total += 1
                    ahead += own < min(errors[affordable[-1]] for _, errors in solvers)
        verdicts.append(
            f"At guidance {guidance:g}, collocation is closer to the converged image than the best solver with at most "
            f"as many evaluations at {ahead} of {total} points of the table."
        )
    arguments.page.write_text(
        PAGE.format(
            converged=CONVERGED,
            count=arguments.prompts,
            few=table(("guidance", "scheduler", *(f"{each} steps" for each in BUDGETS)), few_rows),
            many=table(("guidance", "solver", "N", *(f"tolerance {each:g}" for each in TOLERANCES)), many_rows),
            verdict=" ".join(verdicts),
        )
    )


if __name__ == "__main__":
    main()
