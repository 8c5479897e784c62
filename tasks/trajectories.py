"""From a job's request to trajectories: new ones from noise, old ones from their checkpoints."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from celery.utils.log import get_logger
from torch import Tensor

from sampler import Checkpoint, Engine, Model, Plan, Solver, Trajectory, planner
from sampler.cost import Curve, flat
from sampler.denoiser import Condition
from store.generation import Generation
from store.saves import SavedCheckpoint

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """Where an image starts.

    Attributes:
        blocks: that it is cut into already; None for a new one.
        planned: whether its plan is known to the client.
        checkpoint: to go on from; None for noise.
    """

    blocks: int | None
    planned: bool
    checkpoint: SavedCheckpoint | None


def begin(
    job_id: UUID,
    generation: Generation,
    starts: Mapping[int, Start],
    tell: Callable[[int, Plan], None],
    model: Model,
    engine: Engine,
    others: int,
) -> tuple[Condition, dict[int, Trajectory]]:
    """The prompt, encoded, and the trajectory of every image in `starts`, by its number; `tell` gets the plan of each
    that is not planned yet. `others` is how many images of other jobs share the engine's rounds.

    Raises:
        ValueError: something that this model cannot do.
    """
    condition = model.encode(generation.prompt, generation.negative_prompt, generation.guidance_scale)
    trajectories: dict[int, Trajectory] = {}
    for image, start in starts.items():
        seed, height, width = generation.seed_of(image), generation.height, generation.width
        solver = model.solver(generation.steps, height=height, width=width, seed=seed)
        noise = model.noise(seed, height, width)
        cost = engine.cost.curve((noise.shape, condition.signature)) if generation.method == "auto" else flat
        planned = planner.plan(
            generation.method,
            solver,
            engine.width,
            tolerance=generation.tolerance,
            blocks=generation.blocks or (start.blocks if generation.method == "srds" else None),
            max_iterations=generation.max_iterations,
            cost=cost,
            wish=generation.wish,
            convergence=engine.convergence,
            busy=2 * (len(starts) + others) > engine.width,
        )
        trajectories[image] = _begin(job_id, generation, image, start, planned, solver, noise, cost)
        if not start.planned:
            tell(image, planned)
    return condition, trajectories


def _begin(
    job_id: UUID,
    generation: Generation,
    image: int,
    start: Start,
    planned: Plan,
    solver: Solver,
    noise: Tensor,
    cost: Curve,
) -> Trajectory:
    tolerance, max_iterations = generation.tolerance, generation.max_iterations
    how: Any = {"tolerance": tolerance, "max_iterations": max_iterations, "cost": cost}
    if start.checkpoint is not None:
        try:
            checkpoint = Checkpoint.from_bytes(start.checkpoint.data)
            return planner.resume(planned, solver, checkpoint, device=noise.device, **how)
        except Exception as error:
            # Written by another version, or damaged: it costs time, and nobody a picture.
            log.warning("job %s: checkpoint of image %d cannot be used, starting over: %s", job_id, image, error)
    return planner.start(planned, solver, noise, **how)
