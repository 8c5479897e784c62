"""What a job computes when it is refined: its own request, except for when to stop."""

from collections.abc import Sequence

from contract.fields import Generation, RefineRequest
from contract.methods import METHODS
from contract.problems import Code, FieldProblem, InvalidFields
from contract.table import GENERATION
from contract.words import Method, SampledBy
from store.tables import Image


def unrefinable_methods(images: Sequence[Image]) -> list[SampledBy]:
    """The methods of a job's images that are not exact, if none of these images can be refined: all have converged, by
    methods that leave nothing to continue from. Otherwise empty."""
    if all(image.stopped == "converged" and not _refines(image) for image in images):
        return _methods(images)
    return []


def refined(generation: Generation, images: Sequence[Image], wanted: RefineRequest) -> Generation:
    """The request of a job that is refined as far as ``wanted``.

    Args:
        generation: what the job computed until now.
        images: those of its images that are not exact.
        wanted: a tolerance that is None is the job's own; max_iterations that is None is no limit.

    Raises:
        InvalidFields: there would be nothing to compute, or the method of an image does not take this.
    """
    methods = _methods(images)
    if problems := _not_taken(wanted, methods):
        raise InvalidFields(problems)
    new = generation.model_copy(
        update={
            "method": _method(generation, methods),
            "tolerance": generation.tolerance if wanted.tolerance is None else wanted.tolerance,
            "max_iterations": wanted.max_iterations,
        }
    )
    if not any(_goes_on(new, image) for image in images):
        raise InvalidFields(_too_little(new, images))
    return new


def _methods(images: Sequence[Image]) -> list[SampledBy]:
    return sorted({image.method for image in images if image.method is not None})


def _refines(image: Image) -> bool:
    return image.method is not None and METHODS[image.method].refines


def _not_taken(wanted: RefineRequest, methods: Sequence[SampledBy]) -> list[FieldProblem]:
    """The fields of a refinement that a method of the images does not take."""
    return [
        FieldProblem(name, Code.CONFLICT, f"must be left out: the job's method is {method}")
        for name, row in GENERATION.items()
        if row.refinable and getattr(wanted, name) is not None
        for method in methods
        if method not in row.methods
    ]


def _method(generation: Generation, methods: Sequence[SampledBy]) -> Method:
    """The job's method. Without the limits of its request, `auto` could choose another one for an image that starts
    over, so it then becomes the method that it chose."""
    limited = generation.blocks is not None or generation.max_iterations is not None
    if generation.method == "auto" and limited and len(methods) == 1:
        return methods[0]
    return generation.method


def _goes_on(generation: Generation, image: Image) -> bool:
    return not _reached(generation, image) and not _converged(generation, image)


def _reached(generation: Generation, image: Image) -> bool:
    return generation.max_iterations is not None and (image.iterate or 0) >= generation.max_iterations


def _converged(generation: Generation, image: Image) -> bool:
    # Tolerance 0 goes on until the image is exact. Other methods than those that refine do not stop at an estimate.
    return _refines(image) and image.error_estimate is not None and 0 < generation.tolerance >= image.error_estimate


def _too_little(generation: Generation, images: Sequence[Image]) -> list[FieldProblem]:
    """What to change for at least one image to have something to compute."""
    found: list[FieldProblem] = []
    if all(_reached(generation, image) for image in images):
        message = f"must be more than {min(image.iterate or 0 for image in images)}"
        found.append(FieldProblem("max_iterations", Code.RANGE, message))
    if not found or all(_converged(generation, image) for image in images):
        reached = max(image.error_estimate or 0.0 for image in images)
        message = f"must be less than {reached:.6g}, the estimated error that the job has reached, or 0"
        found.append(FieldProblem("tolerance", Code.RANGE, message))
    return found
