"""What a job computes when it is refined: its own request, but for when to stop."""

from collections.abc import Sequence

from contract.fields import Generation, RefineRequest
from contract.problems import Code, FieldProblem, InvalidFields
from contract.table import GENERATION
from store.tables import Image


def refined(generation: Generation, images: Sequence[Image], wanted: RefineRequest) -> Generation:
    """The request of a job that is refined as far as ``wanted``.

    Args:
        generation: what the job computed until now.
        images: those of its images that are not exact.
        wanted: a tolerance that is None is the job's own; max_iterations that is None is no limit.

    Raises:
        InvalidFields: there would be nothing to compute, or the job's method does not take this.
    """
    if unfit := [name for name in _not_taken(generation) if getattr(wanted, name) is not None]:
        message = f"must be left out: the job's method is {generation.method}"
        raise InvalidFields([FieldProblem(name, Code.CONFLICT, message) for name in unfit])

    # Left to itself, the method would be chosen anew, and the checkpoint be of no use to it.
    method = "srds" if generation.method == "auto" and not generation.windowed else generation.method
    new = generation.model_copy(
        update={
            "method": method,
            "tolerance": generation.tolerance if wanted.tolerance is None else wanted.tolerance,
            "max_iterations": wanted.max_iterations,
        }
    )
    if not generation.windowed and not any(_goes_on(new, image) for image in images):
        raise InvalidFields(_too_little(new, images))
    return new


def _not_taken(generation: Generation) -> list[str]:
    """The fields of a refinement that the job's method does not take."""
    method = "window" if generation.windowed else generation.method
    return [name for name, row in GENERATION.items() if row.refinable and method not in row.methods]


def _goes_on(generation: Generation, image: Image) -> bool:
    return not _reached(generation, image) and not _converged(generation, image)


def _reached(generation: Generation, image: Image) -> bool:
    return generation.max_iterations is not None and (image.iterate or 0) >= generation.max_iterations


def _converged(generation: Generation, image: Image) -> bool:
    # 0 goes on until the image is exact.
    return image.residual is not None and 0 < generation.tolerance >= image.residual


def _too_little(generation: Generation, images: Sequence[Image]) -> list[FieldProblem]:
    """What to change for at least one image to have something to compute."""
    found: list[FieldProblem] = []
    if all(_reached(generation, image) for image in images):
        message = f"must be more than {min(image.iterate or 0 for image in images)}"
        found.append(FieldProblem("max_iterations", Code.RANGE, message))
    if not found or all(_converged(generation, image) for image in images):
        residual = max(image.residual or 0.0 for image in images)
        message = f"must be less than {residual:.6g}, the residual that the job has reached, or 0"
        found.append(FieldProblem("tolerance", Code.RANGE, message))
    return found
