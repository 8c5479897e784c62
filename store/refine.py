"""What a job computes when it is refined: its own request, but for when to stop."""

from collections.abc import Sequence

from store.generation import Generation
from store.resolve import InvalidGeneration
from store.tables import Image


def refined(
    generation: Generation, images: Sequence[Image], tolerance: float | None, max_iterations: int | None
) -> Generation:
    """The request of a job that is refined to ``tolerance`` (None: its own) and ``max_iterations`` (None: no limit).

    Args:
        generation: what the job computed until now.
        images: those of its images that are not exact.

    Raises:
        InvalidGeneration: there would be nothing to compute, or the job's method does not take this.
    """
    if generation.method == "serial":
        given = {"tolerance": tolerance, "max_iterations": max_iterations}
    else:
        given = {"max_iterations": max_iterations} if generation.windowed else {}
    if unfit := [name for name, value in given.items() if value is not None]:
        raise InvalidGeneration(
            [(name, f"must be left out: the job's method is {generation.method}") for name in unfit]
        )

    # Left to itself, the method would be chosen anew, and the checkpoint be of no use to it.
    method = "srds" if generation.method == "auto" and not generation.windowed else generation.method
    new = generation.model_copy(
        update={
            "method": method,
            "tolerance": generation.tolerance if tolerance is None else tolerance,
            "max_iterations": max_iterations,
        }
    )
    if not generation.windowed and not any(_goes_on(new, image) for image in images):
        raise InvalidGeneration(_too_little(new, images))
    return new


def _goes_on(generation: Generation, image: Image) -> bool:
    return not _reached(generation, image) and not _converged(generation, image)


def _reached(generation: Generation, image: Image) -> bool:
    return generation.max_iterations is not None and (image.iterate or 0) >= generation.max_iterations


def _converged(generation: Generation, image: Image) -> bool:
    # 0 goes on until the image is exact.
    return image.residual is not None and 0 < generation.tolerance >= image.residual


def _too_little(generation: Generation, images: Sequence[Image]) -> list[tuple[str, str]]:
    """What to change for at least one image to have something to compute."""
    found: list[tuple[str, str]] = []
    if all(_reached(generation, image) for image in images):
        found.append(("max_iterations", f"must be more than {min(image.iterate or 0 for image in images)}"))
    if not found or all(_converged(generation, image) for image in images):
        residual = max(image.residual or 0.0 for image in images)
        found.append(("tolerance", f"must be less than {residual:.6g}, the residual that the job has reached, or 0"))
    return found
