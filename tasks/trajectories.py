"""From a job's request to trajectories: new ones from noise, old ones from their checkpoints."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from celery.utils.log import get_logger
from torch import Tensor

from contract.fields import Generation
from sampler import Checkpoint, Engine, Model, Plan, Solver, Trajectory, planner
from sampler.cost import flat
from sampler.denoiser import Condition
from store.saves import SavedCheckpoint

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """Where an image starts.

    Attributes:
        method, blocks: what it was begun as; None for a new one.
        planned: whether its plan is known to the client.
        checkpoint: to go on from; None for noise.
    """

    method: str | None = None
    blocks: int | None = None
    planned: bool = False
    checkpoint: SavedCheckpoint | None = None


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
    that is not planned yet, or now another one. `others` is how many images of other jobs share the engine's rounds.

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
        stop: Any = {"tolerance": generation.tolerance, "max_iterations": generation.max_iterations, "cost": cost}
        plan = partial(
            planner.plan,
            generation.method,
            solver,
            engine.width,
            blocks=generation.blocks or (start.blocks if generation.method == "srds" else None),
            wish=generation.wish,
            convergence=engine.convergence,
            busy=2 * (len(starts) + others) > engine.width,
            previews=generation.previews,
            **stop,
        )
        begun = _resumed(job_id, image, start, plan, solver, noise, stop)
        if begun is None:
            planned = plan()
            begun = planned, planner.start(planned, solver, noise, **stop)
        planned, trajectories[image] = begun
        # By its name a method is planned alike wherever it runs.
        other = generation.method == "auto" and (planned.method, planned.blocks) != (start.method, start.blocks)
        if other or not start.planned:
            tell(image, planned)
    return condition, trajectories


def _resumed(
    job_id: UUID, image: int, start: Start, plan: Callable[..., Plan], solver: Solver, noise: Tensor, stop: Any
) -> tuple[Plan, Trajectory] | None:
    if start.checkpoint is None:
        return None
    try:
        checkpoint = Checkpoint.from_bytes(start.checkpoint.data)
        planned = plan(checkpoint=checkpoint)
        return planned, planner.resume(planned, solver, checkpoint, device=noise.device, **stop)
    except Exception as error:
        # Written by another version, or damaged: it costs time, and nobody a picture.
        log.warning("job %s: checkpoint of image %d cannot be used, starting over: %s", job_id, image, error)
        return None
