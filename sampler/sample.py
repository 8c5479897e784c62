"""Sampling without a server: an iterator over whole-image iterates."""

from collections.abc import Iterator

from sampler.denoiser import Model
from sampler.engine import Engine
from sampler.parareal import Parareal
from sampler.plan import choose_blocks, expected_iterates
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
    blocks: int | None = None,
    tolerance: float = 5e-3,
    max_iterations: int | None = None,
    round_width: int = 16,
) -> Iterator[Iterate]:
    """Yield the Parareal iterates of one picture, each a whole image: rough ones first, the result last.

    Args:
        model: from `load_model`; `model.decode(iterate.sample[None])` makes the picture.
        height, width: of the picture, in pixels.
        steps: N of the grid.
        solver, eta: see `Model.solver`.
        blocks: B; None lets the planner choose, 1 is the serial sampler.
        tolerance, max_iterations: when to stop, see `Parareal`.
        round_width: evaluations a round.

    Raises:
        SamplingFailed: the model failed or returned values that are not finite.
        ValueError: an argument out of range.
    """
    made = model.solver(steps, solver, height=height, width=width, seed=seed, eta=eta)
    trajectory = Parareal(
        made,
        model.noise(seed, height, width),
        blocks=blocks or choose_blocks(made.grid.steps, round_width, expected_iterates(tolerance)),
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    engine = Engine(model, round_width)
    engine.add(trajectory, model.encode(prompt, negative_prompt, guidance_scale))
    while engine.active:
        for progress in engine.round():
            yield from progress.iterates
            if progress.status is Status.FAILED:
                raise SamplingFailed(trajectory.error)
