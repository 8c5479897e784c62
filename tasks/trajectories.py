"""From a job's request to trajectories: new ones from noise, old ones from their checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from celery.utils.log import get_logger

from sampler import Checkpoint, Model, Parareal, Plan, Trajectory, choose_blocks, predict
from sampler.denoiser import Condition
from sampler.plan import EXPECTED_ITERATES
from store.generation import Generation
from store.saves import SavedCheckpoint

log = get_logger(__name__)


def plan(generation: Generation, width: int) -> Plan:
    """Blocks, and what is expected of every image of a request, in an engine of `width` evaluations a round."""
    serial = generation.method == "serial"
    blocks = 1 if serial else generation.blocks or choose_blocks(generation.steps, width)
    expected = EXPECTED_ITERATES if generation.tolerance > 0 else blocks
    if generation.max_iterations is not None:
        expected = min(expected, generation.max_iterations)
    return predict(generation.steps, blocks, expected, width)


@dataclass(frozen=True, slots=True)
class Start:
    """Where an image starts: cut into `blocks`, from noise or, where there is one, from a checkpoint."""

    blocks: int
    checkpoint: SavedCheckpoint | None


def begin(
    job_id: UUID, generation: Generation, starts: Mapping[int, Start], model: Model
) -> tuple[Condition, dict[int, Trajectory]]:
    """The prompt, encoded, and the trajectory of every image in `starts`, by its number.

    Raises:
        ValueError: something that this model cannot do.
    """
    condition = model.encode(generation.prompt, generation.negative_prompt, generation.guidance_scale)
    return condition, {image: _begin(job_id, generation, image, start, model) for image, start in starts.items()}


def _begin(job_id: UUID, generation: Generation, image: int, start: Start, model: Model) -> Trajectory:
    solver = model.solver(generation.steps)
    tolerance, max_iterations = generation.tolerance, generation.max_iterations
    if start.checkpoint is not None:
        try:
            checkpoint = Checkpoint.from_bytes(start.checkpoint.data)
            return Parareal.resume(
                solver, checkpoint, device=model.device, tolerance=tolerance, max_iterations=max_iterations
            )
        except Exception as error:
            # Written by another version, or damaged: it costs time, and nobody a picture.
            log.warning("job %s: checkpoint of image %d cannot be used, starting over: %s", job_id, image, error)
    noise = model.noise(generation.seed_of(image), generation.height, generation.width)
    return Parareal(solver, noise, blocks=start.blocks, tolerance=tolerance, max_iterations=max_iterations)
