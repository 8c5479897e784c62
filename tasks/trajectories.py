"""From a job's request to trajectories: new ones from noise, old ones from their checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from celery.utils.log import get_logger

from sampler import DDIM, Checkpoint, Model, Parareal, Plan, Trajectory, Window, choose_blocks, predict, predict_window
from sampler.denoiser import Condition
from sampler.plan import expected_iterates
from store.generation import Generation
from store.saves import SavedCheckpoint

log = get_logger(__name__)


def plan(generation: Generation, width: int, blocks: int | None = None, reached: int | None = None) -> Plan:
    """Blocks, and what is expected of every image of a request, in an engine of `width` evaluations a round; of one
    that is cut into `blocks` already, and has reached an iterate, where these are given."""
    if generation.windowed:
        return predict_window(generation.steps, width)
    serial = generation.method == "serial"
    expected = expected_iterates(generation.tolerance)
    blocks = 1 if serial else generation.blocks or choose_blocks(generation.steps, width, expected)
    if generation.tolerance == 0:
        expected = blocks
    if generation.max_iterations is not None:
        expected = min(expected, generation.max_iterations)
    return predict(generation.steps, blocks, expected, width)


@dataclass(frozen=True, slots=True)
class Start:
    """Where an image starts: cut into `blocks`, from noise or, where there is one, from a checkpoint."""

    blocks: int
    checkpoint: SavedCheckpoint | None


def begin(
    job_id: UUID, generation: Generation, slots: int, starts: Mapping[int, Start], model: Model
) -> tuple[Condition, dict[int, Trajectory]]:
    """The prompt, encoded, and the trajectory of every image in `starts`, by its number.

    `slots` is the engine's width, in evaluations a round.

    Raises:
        ValueError: something that this model cannot do.
    """
    condition = model.encode(generation.prompt, generation.negative_prompt, generation.guidance_scale)
    return condition, {image: _begin(job_id, generation, slots, image, start, model) for image, start in starts.items()}


def _begin(job_id: UUID, generation: Generation, slots: int, image: int, start: Start, model: Model) -> Trajectory:
    seed, height, width = generation.seed_of(image), generation.height, generation.width
    solver = model.solver(generation.steps, height=height, width=width, seed=seed)
    # Left to itself, the method is one that the model's solver can do.
    windowed = generation.windowed and (generation.method == "window" or isinstance(solver, DDIM))
    tolerance, max_iterations = generation.tolerance, generation.max_iterations
    if start.checkpoint is not None:
        try:
            checkpoint = Checkpoint.from_bytes(start.checkpoint.data)
            if windowed:
                return Window.resume(solver, checkpoint, width=slots, device=model.device, tolerance=tolerance)
            return Parareal.resume(
                solver, checkpoint, device=model.device, tolerance=tolerance, max_iterations=max_iterations
            )
        except Exception as error:
            # Written by another version, or damaged: it costs time, and nobody a picture.
            log.warning("job %s: checkpoint of image %d cannot be used, starting over: %s", job_id, image, error)
    noise = model.noise(seed, height, width)
    if windowed:
        return Window(solver, noise, width=slots, tolerance=tolerance)
    return Parareal(solver, noise, blocks=start.blocks, tolerance=tolerance, max_iterations=max_iterations)
