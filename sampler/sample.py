"""Sampling without a server: an iterator over whole-image iterates."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sampler.cost import flat
from sampler.denoiser import Lora, Model
from sampler.engine import Engine
from sampler.methods import Circumstances, Stopping, Wish
from sampler.original import Original, Reference
from sampler.planner import AUTO, plan
from sampler.trajectory import Iterate, Status


class SamplingFailed(RuntimeError):
    """A sample could not be finished; the message tells why."""


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
    method: str = "srds",
    blocks: int | None = None,
    tolerance: float = 5e-3,
    max_iterations: int | None = None,
    wish: Wish = "latency",
    round_width: int = 16,
    engine: Engine | None = None,
    original: Original | None = None,
    references: Sequence[Reference] = (),
    loras: Sequence[Lora] = (),
    **options: float,
) -> Iterator[Iterate]:
    """Yield the iterates of one picture, each a whole image: rough ones first, the result last.

    Args:
        model: from `load_model`; `model.decode(iterate.sample[None])` makes the picture.
        height, width: of the picture, in pixels.
        steps: N of the grid.
        solver, eta: see `Model.solver`; every method runs with every solver.
        method: one of `sampler.methods.METHODS`, whose iterates are the same on every machine; or "auto", which
            chooses by what rounds cost here, see `sampler.planner`.
        blocks: B of a method that takes it, such as "srds"; None lets the method choose.
        tolerance, max_iterations: when to stop, see the trajectory of the method.
        wish: what "auto" saves, "latency" or "cost" (evaluations).
        round_width: evaluations a round.
        engine: an engine over this model that has made pictures before and knows what rounds cost; its width is used
            then. None for a new one.
        original: a picture of this size to begin with, see `sampler.original.original_from`.
        references: pictures of any size to look at, for models that do so.
        loras: changes to the model's weights, see `Lora`.
        options: of guidance, see `Model.encode`.

    Raises:
        SamplingFailed: the model failed or returned values that are not finite.
        ValueError: an argument out of range.
    """
    made = model.solver(steps, solver, height=height, width=width, seed=seed, eta=eta, original=original)
    noise = model.noise(seed, height, width, original=original, steps=steps)
    condition = model.encode(
        prompt, negative_prompt, guidance_scale,
        steps=steps, height=height, width=width, original=original, references=references, seed=seed, loras=loras,
        **options,
    )  # fmt: skip
    engine = engine or Engine(model, round_width)
    cost = engine.cost.curve((noise.shape, condition.signature)) if method == AUTO else flat
    stopping = Stopping(tolerance, max_iterations)
    circumstances = Circumstances(
        engine.width, cost, wish=wish, linear=made.linear is not None and not made.linear.noisy, guidance=guidance_scale
    )
    planned = plan(method, engine.methods, made.grid.steps, stopping, circumstances, blocks=blocks)
    trajectory = planned.start(made, noise, stopping, cost)
    engine.add(trajectory, condition)
    while engine.active:
        for progress in engine.round():
            # A copy outside of inference mode, whose tensors take no gradients and cannot be changed in place.
            yield from (replace(iterate, sample=iterate.sample.clone()) for iterate in progress.iterates)
            if progress.status is Status.FAILED:
                raise SamplingFailed(trajectory.error)
