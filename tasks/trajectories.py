"""From a job's request to trajectories: new ones from noise, interrupted ones from their checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from celery.utils.log import get_logger
from torch import Tensor

from contract.fields import Generation
from contract.warnings import Warning, sampled_otherwise
from sampler import (
    Checkpoint,
    Circumstances,
    Engine,
    Lora,
    Model,
    Original,
    Plan,
    Reference,
    Solver,
    Stopping,
    Trajectory,
    planner,
)
from sampler.cost import Curve, flat
from sampler.denoiser import Condition
from store.saves import SavedCheckpoint
from tasks import cut

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """Where an image starts.

    Attributes:
        method, blocks: of its earlier run; None for a new image.
        planned: whether the client knows its plan.
        checkpoint: to resume from; None for noise.
    """

    method: str | None = None
    blocks: int | None = None
    planned: bool = False
    checkpoint: SavedCheckpoint | None = None


def begin(
    job_id: UUID,
    generation: Generation,
    files: Mapping[str, Path],
    starts: Mapping[int, Start],
    tell: Callable[[int, Plan], None],
    warn: Callable[[Sequence[Warning]], None],
    model: Model,
    engine: Engine,
    others: int,
    original: Original | None = None,
    references: Sequence[Reference] = (),
) -> dict[int, tuple[Condition, Trajectory]]:
    """The encoded prompt and the trajectory of every image in `starts`, by its number.

    Args:
        job_id: for the log.
        generation: the request.
        files: those of the model's LoRA, by name.
        starts: by number of the image.
        tell: receives the plan of each image whose plan is new or has changed.
        warn: receives what of the request does less than it says.
        model, engine: that run the trajectories.
        others: how many images of other jobs share the engine's rounds.
        original: the picture that they begin with; None for noise.
        references: the pictures that the model looks at.

    Raises:
        ValueError: the model cannot do what is asked for.
    """

    def encoded(seed: int) -> Condition:
        return model.encode(
            generation.prompt,
            generation.negative_prompt,
            generation.guidance_scale,
            steps=generation.steps,
            height=generation.height,
            width=generation.width,
            original=original,
            references=references,
            seed=seed,
            loras=_loras(generation, files),
            **_guidance(generation),
        )

    condition = encoded(generation.seed)
    warnings = list(cut.warnings(model, generation))
    if generation.solver is None and (substitute := model.substitute()):
        warnings.append(sampled_otherwise(*substitute))
    if warnings:
        warn(warnings)
    auto = generation.method == planner.AUTO
    stopping = Stopping(generation.tolerance, generation.max_iterations)
    busy = 2 * (len(starts) + others) > engine.width
    begun: dict[int, tuple[Condition, Trajectory]] = {}
    for image, start in starts.items():
        seed, height, width = generation.seed_of(image), generation.height, generation.width
        solver = model.solver(
            generation.steps,
            generation.solver,
            height=height,
            width=width,
            seed=seed,
            eta=generation.eta,
            original=original,
        )
        noise = model.noise(seed, height, width, original=original, steps=generation.steps)
        if original is not None and seed != generation.seed:
            condition = encoded(seed)  # what a pipeline draws for a picture belongs to the image's seed
        cost = engine.cost.curve((noise.shape, condition.signature)) if auto else flat
        circumstances = Circumstances(
            engine.width,
            cost,
            busy,
            generation.previews,
            generation.wish,
            linear=solver.linear is not None and not solver.linear.noisy,
            guidance=generation.guidance_scale,
        )
        # A named method keeps the blocks of its earlier run, on a worker that may have had another width.
        blocks = generation.blocks or (None if auto else start.blocks)
        plan_for = partial(
            planner.plan, generation.method, engine.methods, solver.grid.steps, stopping, circumstances, blocks=blocks
        )
        plan, trajectory = _resumed(job_id, image, start, plan_for, solver, noise, stopping, cost) or (plan_for(), None)
        begun[image] = condition, trajectory or plan.start(solver, noise, stopping, cost)
        # The plan of a named method is the same wherever it runs.
        changed = auto and (plan.method, plan.blocks) != (start.method, start.blocks)
        if changed or not start.planned:
            tell(image, plan)
    return begun


def _loras(generation: Generation, files: Mapping[str, Path]) -> list[Lora]:
    """The LoRA of a request; those that change nothing are left out, so that it shares rounds with others."""
    if gone := [each.name for each in generation.loras if each.name not in files]:
        raise ValueError(f"this worker has no LoRA {', '.join(gone)}")
    return [Lora(each.name, str(files[each.name]), each.scale) for each in generation.loras if each.scale]


def _guidance(generation: Generation) -> dict[str, Any]:
    """The settings of guidance that only some models take, without those that are off."""
    settings = {"guidance_rescale": (generation.guidance_rescale, 0), "true_cfg_scale": (generation.true_cfg_scale, 1)}
    return {name: value for name, (value, off) in settings.items() if value != off}


def _resumed(
    job_id: UUID,
    image: int,
    start: Start,
    plan_for: Callable[..., Plan],
    solver: Solver,
    noise: Tensor,
    stopping: Stopping,
    cost: Curve,
) -> tuple[Plan, Trajectory] | None:
    """The plan and the trajectory from an image's checkpoint; None without a usable one."""
    if start.checkpoint is None:
        return None
    try:
        checkpoint = Checkpoint.from_bytes(start.checkpoint.data)
        plan = plan_for(checkpoint=checkpoint)
        return plan, plan.resume(solver, checkpoint, stopping, cost, noise.device)
    except Exception as error:
        # Another version wrote it, or it is damaged. Starting over costs time, but no picture.
        log.warning("job %s: checkpoint of image %d cannot be used, starting over: %s", job_id, image, error)
        return None
