"""Samples of models that look at pictures; `python -m benchmarks.references` writes the page about them."""

from collections.abc import Iterator
from typing import Any

import diffusers
import pytest

from benchmarks.pipelines import error
from benchmarks.references import CASES, measure, picture, request, serial, small_kontext
from contract.fields import FILLING, FROM_PICTURES, LOOKING
from sampler import Reference, UnsupportedModel
from sampler.models.adapter import PipelineModel
from sampler.models.siblings import own_kind, sibling_class, takes_references
from tests.sampler.pipelines import PIPELINES, build

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_kontext():
        yield


@pytest.mark.parametrize("name", CASES)
def test_a_model_looks_at_pictures_as_diffusers_does(name: str) -> None:
    model = PipelineModel(build(name))
    row = measure(model, name)
    assert max(row.serial, row.batch, row.srds) < 1e-5
    assert row.collocation <= max(row.estimate, 1e-5)
    assert row.estimate <= 1e-3
    # It does look at them, and at which ones.
    seen = serial(model, CASES[name])
    for others in ([], [picture(7), *CASES[name][1:]]):
        assert error(serial(model, others), seen) > 1e-4


def test_models_that_look_at_nothing_refuse_pictures() -> None:
    model = PipelineModel(build("StableDiffusionPipeline"))
    with pytest.raises(ValueError, match="takes no references"):
        request(model, "red heart", [picture(1)])
    with pytest.raises(ValueError, match="64 x 64"):
        Reference(64, 64, b"")


class Editing(diffusers.FluxKontextPipeline):
    """Like Qwen-Image-Edit it makes no picture without one to edit."""

    def __call__(self, image: Any = None, prompt: Any = None, height: Any = None, width: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return image[0].size


def test_models_that_only_edit_are_refused() -> None:
    pipeline = build("Editing", lambda: Editing(**build("FluxKontextPipeline").components))
    with pytest.raises(UnsupportedModel, match="makes no picture without one to edit"):
        PipelineModel(pipeline)


def test_the_contract_knows_which_models_take_pictures() -> None:
    # Two of these cannot be sampled at all: docs/pipelines.md says why.
    names = PIPELINES.keys() - {"LatentConsistencyModelPipeline", "SanaSprintPipeline"}
    served: dict[str, Any] = {name: getattr(diffusers, name) for name in names}
    begin = {name for name, made in served.items() if own_kind(made) is None and sibling_class(made, "image")}
    assert begin == set(FROM_PICTURES)
    assert {name for name, made in served.items() if own_kind(made) == "mask"} == set(FILLING)
    assert {name for name, made in served.items() if takes_references(made)} == set(LOOKING)
