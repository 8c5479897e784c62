"""How exactly diffusers' image-to-image and inpainting pipelines are served; writes docs/pictures.md.

    python -m benchmarks.pictures

The pipelines are tiny, randomly initialised ones (`tests/sampler/pipelines.py`), and the shipped model.
"""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.configuration_utils import FrozenDict

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (diffusers is hardly typed)
from torch import Tensor

from benchmarks.pipelines import chosen, error, swapped
from sampler import Collocation, Engine, Parareal, Serial, Solver, Trajectory
from sampler.models.adapter import ALWAYS, PipelineModel
from sampler.models.siblings import arguments, sibling
from sampler.original import Kind, Original, original_from
from tests.sampler.oracle import our_noise, swap
from tests.sampler.pipelines import build, stable_diffusion_3_for_masks

PAGE = Path(__file__).parents[1] / "docs" / "pictures.md"
EMOJI = Path(__file__).parents[1] / "models" / "emoji"
STEPS, STRENGTH, BLOCKS, ESTIMATE, TOLERANCE = 9, 0.7, 3, 1e-3, 1e-4
TEXT = f"""# Pipelines that take pictures

Written by `python -m benchmarks.pictures`, with diffusers {diffusers.__version__}, in float32 on a CPU.

[Begin with a picture](editing.md) shows how they are used, on the page and elsewhere. These are
diffusers' image-to-image and inpainting pipelines, of the text-to-image pipelines in [the other table](pipelines.md)
and of models that are made for inpainting. Each is a tiny, randomly initialised one; the last rows are the shipped
model. Errors are relative (RMS of the difference over RMS, of the final sample in latent space), with {STEPS} steps,
strength {STRENGTH:g} and guidance:

- **serial**: our serial sampler compared with diffusers' pipeline, same seed, picture, mask and arguments.
- **batch**: a sample that shares its rounds with two others (another prompt, picture and seed) compared with the same
  sample alone.
- **SRDS**: the last iterate of SRDS with {BLOCKS} blocks compared with our serial sampler.
- **collocation**: the image of collocation with tolerance {ESTIMATE:g}, and its own **estimate** of that error.

**puts back** says whether the part that the mask keeps is put back after every step, or the network is told of it.
Where diffusers has no inpainting pipeline that works, masks are put back in its image-to-image pipeline ("with a
mask"): there is nothing to compare **serial** with, so that it is left out. For the shipped model, whose latents have
eight channels, the check for four in diffusers' inpainting pipeline is turned off for the comparison.

"""
NAMES = [
    "StableDiffusionPipeline",
    "StableDiffusionPAGPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusionXLPAGPipeline",
    "StableDiffusion3Pipeline",
    "StableDiffusion3PAGPipeline",
    "FluxPipeline",
    "Flux2KleinPipeline",
    "ChromaPipeline",
    "QwenImagePipeline",
    "ZImagePipeline",
    "Kandinsky3Pipeline",
    "IFPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionXLInpaintPipeline",
    "FluxFillPipeline",
]


@dataclass(frozen=True)
class Row:
    """A served pipeline."""

    name: str
    puts_back: bool
    serial: float | None
    batch: float
    srds: float
    collocation: float
    estimate: float


@dataclass(frozen=True)
class Request:
    """What is asked of both sides."""

    original: Original
    seed: int = 3
    prompt: str = "red heart"
    solver: str | None = None
    eta: float = 0.0
    steps: int = STEPS

    @property
    def size(self) -> dict[str, int]:
        return {"height": self.original.height, "width": self.original.width}


def made(name: str) -> PipelineModel:
    """The tiny model of a class, or the shipped one."""
    if name == "emoji":
        from sampler import load_model

        model = load_model(EMOJI)
        assert isinstance(model, PipelineModel)
        return model
    return PipelineModel(build(name, stable_diffusion_3_for_masks if name == "StableDiffusion3Pipeline" else None))


def original(model: PipelineModel, kind: Kind, seed: int = 1, strength: float = STRENGTH) -> Original:
    """A picture of coloured squares; the mask is its left half, and a square in the right one."""
    height, width = model.some_size
    squares = torch.randint(0, 256, (8, 8, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    picture = squares.repeat_interleave(height // 8, 0).repeat_interleave(width // 8, 1)
    mask = torch.zeros(height, width, dtype=torch.uint8)
    mask[:, : width // 2] = mask[height // 4 : height // 2, width * 5 // 8 : width * 3 // 4] = 1
    return original_from(picture, mask if kind == "mask" else None, strength)


def begin(model: PipelineModel, r: Request) -> tuple[Solver, Tensor, Any]:
    """The solver, the noise and the condition of a request."""
    options = {"true_cfg_scale": 2.0} if "true_cfg_scale" in model.parameters else {}
    solver = model.solver(r.steps, r.solver, seed=r.seed, eta=r.eta, original=r.original, **r.size)
    noise = model.noise(r.seed, original=r.original, steps=r.steps, **r.size)
    asked: dict[str, Any] = {"steps": r.steps, "original": r.original, "seed": r.seed, **r.size, **options}
    return solver, noise, model.encode(r.prompt, "pizza", 3.0, **asked)


def run(model: PipelineModel, trajectories: Sequence[tuple[Trajectory, Any]]) -> list[Trajectory]:
    """Run trajectories with their conditions to their ends, together."""
    engine = Engine(model, 16)
    for trajectory, condition in trajectories:
        engine.add(trajectory, condition)
    while engine.active:
        engine.round()
    if errors := [trajectory.error for trajectory, _ in trajectories if trajectory.error]:
        raise RuntimeError(errors[0])
    return [trajectory for trajectory, _ in trajectories]


def final(trajectory: Trajectory) -> Tensor:
    """The sample of a trajectory that has ended."""
    assert trajectory.newest is not None
    return trajectory.newest.sample


def theirs(model: PipelineModel, r: Request) -> Tensor:
    """The sample of diffusers' own pipeline, in the shape of ours, after the last step and a mask's rule."""
    _, noise, condition = begin(model, r)
    pipeline: Any = model.pipeline if model.kind else sibling(model.pipeline, r.original.kind)
    if isinstance(pipeline, diffusers.StableDiffusionInpaintPipeline) and pipeline.unet.config.in_channels == 8:
        # It checks for 4 channels, and needs none of them.
        pipeline.unet = copy.copy(pipeline.unet)
        pipeline.unet.__dict__["_internal_dict"] = FrozenDict(pipeline.unet.config | {"in_channels": 4})
    shipped, samples = pipeline.scheduler, list[Tensor]()

    def keep(_pipeline: Any, _step: int, _time: Any, found: dict[str, Any]) -> dict[str, Any]:
        samples.append(found["latents"])
        return {}

    asked = {**ALWAYS, **dict(condition.arguments), **arguments(r.original), "output_type": "latent"}
    asked |= {"generator": torch.Generator().manual_seed(r.seed), "eta": r.eta, "callback_on_step_end": keep}
    taken = inspect.signature(pipeline.__call__).parameters
    pipeline.scheduler = swap(shipped, r.solver) if r.solver else swapped(model)
    step = pipeline.scheduler.step

    def stepped(*args: Any, **kwargs: Any) -> Any:
        result = step(*args, **kwargs)
        if "callback_on_step_end" not in taken:
            samples.append(result[0] if isinstance(result, tuple) else result.prev_sample)
        return result

    stepped.__signature__ = inspect.signature(step)  # pyright: ignore[reportFunctionMemberAccess]
    pipeline.scheduler.step = stepped
    try:
        with our_noise(r.seed):
            pipeline(**{k: v for k, v in asked.items() if k in taken})
    finally:
        pipeline.scheduler = shipped
    sample = samples[-1].float()
    return (sample[0].mT if sample.ndim == 3 else sample[0]).reshape(noise.shape)


def measure(model: PipelineModel, name: str, kind: Kind) -> Row:
    """The figures of a pipeline, and of a kind of original."""
    first, others = (
        Request(original(model, kind)),
        [Request(original(model, kind, n), n, "a large pizza") for n in (5, 6)],
    )
    solver, noise, condition = begin(model, first)
    alone = final(run(model, [(Serial(solver, noise), condition)])[0])
    several = [(Serial(solver, noise), condition)]
    for other in others:
        also, drawn, prompt = begin(model, other)
        several.append((Serial(also, drawn), prompt))
    srds = Parareal(solver, noise, blocks=BLOCKS)
    collocation = Collocation(solver, noise, width=4, tolerance=ESTIMATE)
    run(model, [(srds, condition), (collocation, condition)])
    assert collocation.newest is not None
    return Row(
        name,
        getattr(solver, "kept", None) is not None,
        _serial(model, first, alone),
        error(final(run(model, several)[0]), alone),
        error(final(srds), alone),
        error(final(collocation), alone),
        collocation.newest.error_estimate or 0.0,
    )


def _serial(model: PipelineModel, request: Request, ours: Tensor) -> float | None:
    """The error of our serial sample; None if diffusers has none."""
    used = model.for_original(request.original)
    alike = (
        request.original.kind == "image"
        or used.kind == "mask"
        or type(model.pipeline).__name__ == "StableDiffusionPipeline"
    )
    return error(ours, theirs(model, request)) if alike else None


def main() -> None:
    """Measure, and write the page."""
    only = chosen(__doc__)
    served: list[Row] = []
    refused: list[tuple[str, str]] = []
    for name in only or [*NAMES, "emoji"]:
        model = made(name)
        for kind in sorted(model.kinds):
            full = name
            try:
                full = type(model.for_original(original(model, kind)).pipeline).__name__
                full += ", with a mask" if kind == "mask" and "Inpaint" not in full and not model.kind else ""
                served.append(measure(model, full if name != "emoji" else f"{full}, the shipped model", kind))
                print(served[-1], flush=True)
            except Exception as reason:
                refused.append((full, f"{reason}"))
                print(*refused[-1], flush=True)
    if only:
        return
    lines = [
        "| pipeline | puts back | serial | batch | SRDS | collocation | estimate |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in served:
        exact = " | ".join("" if each is None else f"{each:.0e}" for each in (row.serial, row.batch, row.srds))
        back = "yes" if row.puts_back else ""
        lines.append(f"| {row.name} | {back} | {exact} | {row.collocation:.0e} | {row.estimate:.0e} |")
    worst = max(max(row.serial or 0, row.batch, row.srds) for row in served)
    lines += ["", f"Served: {len(served)}. The largest figure of the first three is {worst:.1e}.", ""]
    lines += ["| not served | why |", "|---|---|", *(f"| {name} | {reason} |" for name, reason in refused)]
    PAGE.write_text(TEXT + "\n".join(lines) + "\n")
    if worst > TOLERANCE:
        raise SystemExit(f"{worst:.1e} exceeds the tolerance of {TOLERANCE:g}")


if __name__ == "__main__":
    main()
