"""Which of diffusers' text-to-image pipelines are served, and how exactly; writes docs/pipelines.md.

    python -m benchmarks.pipelines

Each pipeline is a tiny, randomly initialised one (`tests/sampler/pipelines.py`).
"""

import argparse
import inspect
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler import Engine, Parareal, UnsupportedModel
from sampler.models.adapter import ALWAYS, PipelineModel
from tests.sampler.oracle import last_sample
from tests.sampler.pipelines import PIPELINES, build

PAGE = Path(__file__).parents[1] / "docs" / "pipelines.md"
STEPS, BLOCKS, TOLERANCE = 7, 3, 1e-4
TEXT = f"""# Pipelines

Written by `python -m benchmarks.pipelines`, with diffusers {diffusers.__version__}, in float32 on a CPU.

All text-to-image pipelines of diffusers, each as a tiny, randomly initialised one. There is no code for a family:
`sampler/models/adapter.py` runs the pipeline's own code and says what it assumes of it. Errors are relative (RMS of the
difference over RMS, of the final sample in latent space), with {STEPS} steps and guidance:

- **serial**: our serial sampler compared with diffusers' pipeline, same seed and arguments.
- **batch**: a sample that shares its rounds with two others (another prompt of another length, guidance, seed) compared
  with the same sample alone.
- **SRDS**: the last iterate of SRDS with {BLOCKS} blocks compared with our serial sampler.

**solver** is the one that the model's own scheduler, named beside it, stands for. Pipelines that take more than a
prompt (pictures, masks, poses), and those that make videos or sound, are not listed.

"""


@dataclass(frozen=True)
class Row:
    """A served pipeline."""

    name: str
    solver: str
    scheduler: str
    serial: float
    batch: float
    srds: float


def text_to_image() -> Iterator[str]:
    """The names of diffusers' pipelines that make a picture from a prompt, or from nothing."""
    for name in sorted(dir(diffusers)):
        if not name.endswith("Pipeline"):
            continue
        made: Any = getattr(diffusers, name)
        if not isinstance(made, type) or not issubclass(made, diffusers.DiffusionPipeline):
            continue
        given = inspect.signature(made.__call__).parameters
        needed = {n for n, p in given.items() if p.default is p.empty} - {"self", "prompt", "args", "kwargs"}
        moving = any(re.search(r"frames|video|audio|waveform|duration|melody", n) for n in given)
        others = re.search(r"Inpaint|Img2Img|ControlNet|Upscale|Edit|Control|Adapter|Kontext|ShapE|Video", name)
        if name in PIPELINES or ("prompt" in given and not needed and not moving and not others and _draws(made)):
            yield name


def _draws(made: Any) -> bool:
    """Whether it makes pictures of its own: it has steps, and no picture is among what it is called with."""
    given = inspect.signature(made.__call__).parameters
    return "num_inference_steps" in given and not {"mask_image", "control_image"} & set(given)


def error(sample: Tensor, reference: Tensor) -> float:
    """RMS of the difference over RMS of the reference."""
    return float((sample - reference).norm() / reference.norm())


def request(model: PipelineModel, seed: int = 3, prompt: str = "red heart", guidance: float = 3.0) -> dict[str, Any]:
    """The arguments of `trajectory`, at a size that the model makes."""
    height, width = model.some_size
    prompt = {"red heart": "7"}.get(prompt, "8") if "class_labels" in model.parameters else prompt
    return {"seed": seed, "prompt": prompt, "guidance": guidance, "height": height, "width": width}


def trajectory(model: PipelineModel, blocks: int, **r: Any) -> tuple[Parareal, Any]:
    """A trajectory, and its condition."""
    size = {"height": r["height"], "width": r["width"]}
    options: dict[str, Any] = {"true_cfg_scale": 2.0} if "true_cfg_scale" in model.parameters else {}
    solver = model.solver(STEPS, **size)
    condition = model.encode(r["prompt"], "pizza", r["guidance"], steps=STEPS, **size, **options)
    return Parareal(solver, model.noise(r["seed"], **size), blocks=blocks), condition


def ours(model: PipelineModel, requests: Sequence[dict[str, Any]], blocks: int = 1) -> list[Tensor]:
    """The samples of requests that share their rounds."""
    engine, made = Engine(model, 16), [trajectory(model, blocks, **r) for r in requests]
    for each, condition in made:
        engine.add(each, condition)
    while engine.active:
        engine.round()
    if errors := [each.error for each, _ in made if each.error]:
        raise RuntimeError(errors[0])
    return [each.newest.sample for each, _ in made if each.newest]


def theirs(model: PipelineModel, r: dict[str, Any]) -> Tensor:
    """The sample of diffusers' own pipeline with the same arguments, in the shape of ours."""
    _, condition = trajectory(model, 1, **r)
    pipeline = model.pipeline
    arguments = {**ALWAYS, **dict(condition.arguments), "generator": torch.Generator().manual_seed(r["seed"])}
    shipped = pipeline.scheduler
    pipeline.scheduler = swapped(model)
    try:
        with last_sample(pipeline.scheduler) as samples:
            pipeline(**{k: v for k, v in arguments.items() if k in model.parameters})
    finally:
        pipeline.scheduler = shipped
    sample = samples[-1].float()
    return sample[0].mT if sample.ndim == 3 else sample[0]


def swapped(model: PipelineModel) -> Any:
    """The scheduler that the model is sampled with: its own, but for those that have no solver here."""
    scheduler = model.pipeline.scheduler
    if isinstance(scheduler, diffusers.PNDMScheduler):
        return diffusers.DPMSolverMultistepScheduler.from_config(scheduler.config)
    if isinstance(scheduler, diffusers.DDPMScheduler):
        clip = scheduler.config.get("clip_sample", False)
        return diffusers.DDIMScheduler.from_config(scheduler.config, clip_sample=clip)
    return type(scheduler).from_config(scheduler.config)


def measure(name: str) -> Row:
    """The figures of a pipeline.

    Raises:
        UnsupportedModel: it is refused.
    """
    model = PipelineModel(build(name))
    first = request(model)
    serial = ours(model, [first])[0]
    # Some pipelines with perturbed-attention guidance fail without the other one.
    weak = 2.0 if "pag_scale" in model.parameters else 1.0
    others = [request(model, 4, "a large pizza", 6.0), request(model, 5, guidance=weak)]
    together = ours(model, [first, *others])[0]
    return Row(
        name,
        model.process.default,
        type(model.pipeline.scheduler).__name__,
        error(serial.flatten(), theirs(model, first).reshape(serial.shape).flatten()),
        error(together, serial),
        error(ours(model, [first], BLOCKS)[0], serial),
    )


def chosen(description: str | None) -> list[str] | None:
    """The pipelines that the command names; None for all, after which the page is written. Makes diffusers quiet."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+")
    only: list[str] | None = parser.parse_args().only
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    return only


def main() -> None:
    """Measure, and write the page."""
    only = chosen(__doc__)
    served: list[Row] = []
    refused: list[tuple[str, str]] = []
    for name in only or text_to_image():
        try:
            if name not in PIPELINES:
                refused.append((name, "not tried: there is no tiny model of it"))
                continue
            served.append(measure(name))
            print(served[-1], flush=True)
        except Exception as reason:
            known = isinstance(reason, UnsupportedModel)
            refused.append((name, str(reason) if known else f"fails: {type(reason).__name__}: {reason}"))
            print(*refused[-1], flush=True)
    if only:
        return
    lines = ["| pipeline | solver | scheduler | serial | batch | SRDS |", "|---|---|---|---|---|---|"]
    for row in served:
        figures = " | ".join(f"{figure:.0e}" for figure in (row.serial, row.batch, row.srds))
        lines.append(f"| `{row.name}` | {row.solver} | {row.scheduler} | {figures} |")
    worst = max(max(row.serial, row.batch, row.srds) for row in served)
    lines += ["", f"Served: {len(served)}. The largest figure is {worst:.1e}.", "", "| not served | why |", "|---|---|"]
    lines += [f"| `{name}` | {reason} |" for name, reason in refused]
    PAGE.write_text(TEXT + "\n".join(lines) + "\n")
    if worst > TOLERANCE:
        raise SystemExit(f"{worst:.1e} exceeds the tolerance of {TOLERANCE:g}")


if __name__ == "__main__":
    main()
