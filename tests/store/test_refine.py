"""What a refined job computes, by the methods that its images were sampled by."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from contract.fields import Generation, RefineRequest
from contract.methods import METHODS
from contract.problems import InvalidFields
from contract.words import SampledBy, Stopped
from store.refine import refined, unrefinable_methods
from store.tables import Image

Generate = Callable[..., Generation]

REFINES: list[SampledBy] = [name for name, row in METHODS.items() if row.refines]
FINAL: list[SampledBy] = [name for name, row in METHODS.items() if not row.refines]


def image(method: SampledBy | None = "srds", stopped: Stopped = "converged", **fields: Any) -> Image:
    return Image(
        **{"method": method, "stopped": stopped, "iterate": 2, "residual": 0.04, "error_estimate": 0.01, **fields}
    )


def refuse(generation: Generation, images: list[Image], **wanted: Any) -> dict[str, str]:
    with pytest.raises(InvalidFields) as raised:
        refined(generation, images, RefineRequest.model_validate(wanted))
    return {each.field: each.message for each in raised.value.problems}


def test_images_that_have_converged_are_final_if_their_method_does_not_refine() -> None:
    assert "srds" in REFINES
    assert FINAL
    for name in FINAL:
        assert unrefinable_methods([image(name), image(name)]) == [name]
        assert unrefinable_methods([image(name, "accepted"), image(name)]) == []
        assert unrefinable_methods([image(name), image("srds")]) == []
    for name in REFINES:
        assert unrefinable_methods([image(name)]) == []


@pytest.mark.parametrize("method", get_args(SampledBy))
@pytest.mark.parametrize("requested", ["named", "auto"])
def test_a_field_is_refused_if_the_method_of_an_image_does_not_take_it(
    generation: Generate, method: SampledBy, requested: str
) -> None:
    asked = generation(method=method if requested == "named" else "auto")
    images = [image(method, "accepted"), image("srds", "accepted")]
    for field, value in (("tolerance", 0.001), ("max_iterations", 5)):
        if field in METHODS[method].takes:
            assert getattr(refined(asked, images, RefineRequest.model_validate({field: value})), field) == value
        else:
            message = f"must be left out: the job's method is {method}"
            assert refuse(asked, images, **{field: value}) == {field: message}


def test_an_image_goes_on_below_its_estimated_error_or_after_its_last_iterate(generation: Generate) -> None:
    asked = generation(method="srds", tolerance=0.005)
    message = "must be less than 0.01, the estimated error that the job has reached, or 0"
    assert refuse(asked, [image()], tolerance=0.01) == {"tolerance": message}
    assert refuse(asked, [image()], max_iterations=2) == {"max_iterations": "must be more than 2"}
    assert refined(asked, [image(), image(error_estimate=0.02)], RefineRequest(tolerance=0.01)).tolerance == 0.01
    older = image(error_estimate=None)  # of a version without estimates
    assert refined(asked, [older], RefineRequest(tolerance=0.05)).tolerance == 0.05
    assert refined(asked, [image()], RefineRequest(max_iterations=3)).max_iterations == 3


def test_a_refinement_with_nothing_to_compute_names_what_to_change(generation: Generate) -> None:
    asked = generation(method="srds", tolerance=0.005)
    tolerance = "must be less than 0.01, the estimated error that the job has reached, or 0"
    wanted: dict[str, Any] = {"tolerance": 0.01, "max_iterations": 2}
    both = {"tolerance": tolerance, "max_iterations": "must be more than 2"}
    assert refuse(asked, [image(), image()], **wanted) == both
    # One image has reached its last iterate, the other one its error: a lower tolerance suffices.
    assert refuse(asked, [image(error_estimate=None), image(iterate=1)], **wanted) == {"tolerance": tolerance}
    # One of them has not converged: more iterates suffice.
    assert refuse(asked, [image(error_estimate=None), image()], **wanted) == {"max_iterations": "must be more than 2"}


@pytest.mark.parametrize("method", FINAL)
def test_an_estimate_ends_no_image_of_a_method_that_does_not_refine(generation: Generate, method: SampledBy) -> None:
    asked = generation(method=method)
    assert refined(asked, [image(method, "accepted", error_estimate=1e-6)], RefineRequest()) == asked


@pytest.mark.parametrize("limit", [{"blocks": 4}, {"max_iterations": 2}])
def test_auto_with_limits_becomes_the_method_that_it_chose(generation: Generate, limit: dict[str, Any]) -> None:
    asked = generation(method="auto", **limit)
    assert refined(asked, [image("srds"), image("srds")], RefineRequest(tolerance=0)).method == "srds"
    # Each image resumes by its own method.
    assert refined(asked, [image("srds"), image(FINAL[0], "accepted")], RefineRequest()).method == "auto"


def test_auto_without_limits_stays_auto(generation: Generate) -> None:
    asked = generation(method="auto")
    assert refined(asked, [image("srds", "accepted")], RefineRequest()).method == "auto"
