"""Samples of the tiny models by diffusers' own pipelines and by our sampler: both sides of every exactness figure."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import count
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm
from torch import Tensor

from sampler import Engine, Parareal
from sampler.solvers.stochastic import step_noise

PROMPTLESS = ("dit", "ddim-pixels", "ddpm-pixels")
# These pipelines scale neither the first noise nor the network's input. Euler and Heun need that.
UNSCALED = PROMPTLESS


@dataclass(frozen=True)
class Request:
    """The request for one picture, for both sides. `eta` is for the solver "ddim"."""

    height: int
    width: int
    prompt: str = "red heart"
    negative_prompt: str = "pizza"
    guidance_scale: float = 3.0
    seed: int = 3
    steps: int = 9
    solver: str | None = None
    eta: float = 0.0
    options: tuple[
        tuple[str, float], ...
    ] = ()  # further arguments of `encode`; the pipelines have them under the same names


def theirs(family: str, pipeline: Any, request: Request) -> Tensor:
    """The final sample (c, h, w) of the diffusers pipeline: the result of its scheduler's last step."""
    sample = _run(family, pipeline, request, "latent")[0][-1]
    if sample.ndim == 3:  # tokens: (1, h w, c)
        scale = round((request.height * request.width / sample.shape[1]) ** 0.5)
        return sample[0].mT.reshape(-1, request.height // scale, request.width // scale)
    return sample[0]


def painted(family: str, pipeline: Any, request: Request) -> Any:
    """The picture (1, H, W, 3) of the diffusers pipeline, from 0 to 1."""
    return _run(family, pipeline, request, "np")[1].images


def _run(family: str, pipeline: Any, request: Request, output: str) -> tuple[list[Tensor], Any]:
    """The results of the scheduler's steps, and that of the pipeline."""
    arguments: dict[str, Any] = {"num_inference_steps": request.steps, "output_type": "np"}
    arguments["generator"] = torch.Generator().manual_seed(request.seed)
    if family == "dit":
        arguments |= {"class_labels": [int(request.prompt)], "guidance_scale": request.guidance_scale}
    elif family not in PROMPTLESS:
        arguments |= {
            "prompt": request.prompt, "guidance_scale": request.guidance_scale, "output_type": output,
            "height": request.height, "width": request.width, "negative_prompt": request.negative_prompt or None,
            **dict(request.options),
        }  # fmt: skip
        if family.startswith("pixart"):
            arguments |= {"use_resolution_binning": False, "clean_caption": False}
            arguments["negative_prompt"] = request.negative_prompt
    if request.eta:
        arguments["eta"] = request.eta
    shipped = pipeline.scheduler
    try:
        pipeline.scheduler = scheduler = swap(shipped, request.solver)
        with last_sample(scheduler) as samples, our_noise(request.seed), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            return samples, pipeline(**arguments)
    finally:
        pipeline.scheduler = shipped


def swap(shipped: Any, solver: str | None) -> Any:
    """The diffusers scheduler that corresponds to a solver."""
    if solver is None and isinstance(shipped, PNDMScheduler | DDPMScheduler):
        solver = "ddim" if isinstance(shipped, DDPMScheduler) else "dpm++"  # see INSTEAD in sampler/models/process.py
    if solver is None:
        return type(shipped).from_config(shipped.config)
    flow = "beta_schedule" not in shipped.config
    made: Any = {
        "ddim": DDIMScheduler, "ddpm": DDPMScheduler, "dpm++": DPMSolverMultistepScheduler,
        "unipc": UniPCMultistepScheduler,
        "euler": type(shipped) if flow else EulerDiscreteScheduler,
        "heun": FlowMatchHeunDiscreteScheduler if flow else HeunDiscreteScheduler,
    }[solver]  # fmt: skip
    clip = {"clip_sample": shipped.config.get("clip_sample", False)} if solver in ("ddim", "ddpm") else {}
    return made.from_config(shipped.config, **clip)


@contextmanager
def last_sample(scheduler: Any) -> Iterator[list[Tensor]]:
    """Record the results of a scheduler's steps."""
    samples, step = [], scheduler.step

    @wraps(step)  # pipelines look at its parameters
    def keep(*arguments: Any, **options: Any) -> Any:
        result = step(*arguments, **options)
        samples.append(result[0] if isinstance(result, tuple) else result.prev_sample)
        return result

    scheduler.step = keep
    yield samples


@contextmanager
def our_noise(seed: int) -> Iterator[None]:
    """Make the DDIM and DDPM schedulers, which draw the noise of each step themselves, use our noise."""
    point, modules = count(), (scheduling_ddim, scheduling_ddpm)
    drawn = modules[0].randn_tensor

    def ours(shape: Any, **_: Any) -> Tensor:
        return step_noise(seed, next(point), torch.Size(shape[1:])).expand(shape)

    for module in modules:
        module.randn_tensor = ours
    try:
        yield
    finally:
        for module in modules:
            module.randn_tensor = drawn


def start(model: Any, request: Request, blocks: int) -> tuple[Parareal, Any]:
    """A trajectory and its condition."""
    r = request
    solver = model.solver(r.steps, r.solver, height=r.height, width=r.width, seed=r.seed, eta=r.eta)
    trajectory = Parareal(solver, model.noise(r.seed, r.height, r.width), blocks=min(blocks, solver.grid.steps))
    size = {"steps": r.steps, "height": r.height, "width": r.width}
    return trajectory, model.encode(r.prompt, r.negative_prompt, r.guidance_scale, **size, **dict(r.options))


def ours(model: Any, requests: Sequence[Request], blocks: Sequence[int], width: int = 16) -> list[Tensor]:
    """The samples of several requests, run together in one engine until they are exact, each in so many blocks."""
    engine, trajectories = Engine(model, width), []
    for request, number in zip(requests, blocks, strict=True):
        trajectory, condition = start(model, request, number)
        engine.add(trajectory, condition)
        trajectories.append(trajectory)
    while engine.active:
        engine.round()
    assert all(t.newest is not None and t.newest.number == t.blocks for t in trajectories), trajectories[0].error
    return [trajectory.newest.sample for trajectory in trajectories]


def has_oracle(family: str, solver: str | None) -> bool:
    """Whether diffusers has a pipeline and a scheduler that compute the same."""
    if family in UNSCALED and solver in ("euler", "heun"):
        return False
    if family == "ddpm-pixels" and solver == "unipc":  # it passes a generator to every scheduler
        return False
    if family == "ddim-pixels" and solver not in ("ddim", None):  # it passes eta to every scheduler
        return False
    if family.startswith(("stable-diffusion-3", "flux")):
        # There is no multistep scheduler on the grid of the flow Euler one, nor a Heun one with a dynamic shift.
        return solver not in ("dpm++", "unipc") and (solver != "heun" or family == "stable-diffusion-3")
    return True
