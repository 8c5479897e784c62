"""Sampling without a server: an iterator over whole-image iterates."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sampler.cost import flat
from sampler.denoiser import Model
from sampler.engine import Engine
from sampler.planner import Method, Wish, plan, start
from sampler.trajectory import Iterate, Status


class SamplingFailed(RuntimeError):
    """A sample that could not be finished; the message says why."""


def sample(
    model: Model,
    prompt: str,
    *,
    negative_prompt: str = "",
    guidance_scale: float = 7.5,
    steps: int = 50,
    solver: str | None = None,
    eta: float = 0.0,
    seed: int = 0,
    height: int,
    width: int,
    method: Method = "srds",
    blocks: int | None = None,
    tolerance: float = 5e-3,
    max_iterations: int | None = None,
    wish: Wish = "latency",
    round_width: int = 16,
    engine: Engine | None = None,
) -> Iterator[Iterate]:
    """Yield the iterates of one picture, each a whole image: rough ones first, the result last.

    Args:
        model: from `load_model`; `model.decode(iterate.sample[None])` makes the picture.
        height, width: of the picture, in pixels.
        steps: N of the grid.
        solver, eta: see `Model.solver`.
        method: "srds", whose iterates are the same on any machine; "window", with DDIM steps only; "serial"; or "auto",
            which chooses by what rounds cost here, see `sampler.planner`.
        blocks: B of "srds"; None lets the planner choose.
        tolerance, max_iterations: when to stop, see `Parareal` and `Window`.
        wish: what "auto" is to save, "latency" or "cost" (evaluations).
        round_width: evaluations a round.
        engine: over this model, of pictures before, which knows what rounds cost; its width is used then. None for one
            that knows nothing yet.

    Raises:
        SamplingFailed: the model failed or returned values that are not finite.
        ValueError: an argument out of range.
    """
    made = model.solver(steps, solver, height=height, width=width, seed=seed, eta=eta)
    noise = model.noise(seed, height, width)
    condition = model.encode(prompt, negative_prompt, guidance_scale)
    engine = engine or Engine(model, round_width)
    cost = engine.cost.curve((noise.shape, condition.signature)) if method == "auto" else flat
    how: Any = {"tolerance": tolerance, "max_iterations": max_iterations, "cost": cost}
    planned = plan(method, made, engine.width, blocks=blocks, wish=wish, convergence=engine.convergence, **how)
    trajectory = start(planned, made, noise, **how)
    engine.add(trajectory, condition)
    while engine.active:
        for progress in engine.round():
            # Not one of inference mode: with those nobody can compute gradients, or anything in place.
            yield from (replace(iterate, sample=iterate.sample.clone()) for iterate in progress.iterates)
            if progress.status is Status.FAILED:
                raise SamplingFailed(trajectory.error)
