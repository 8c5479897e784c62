"""Fields and values that only some kinds of model take."""

import operator
from dataclasses import replace
from typing import Any, get_args

import pytest

from contract.fields import Terms
from contract.form import form
from contract.problems import Code, InvalidFields
from contract.resolve import resolve
from contract.schema import request_schema
from contract.words import Solver
from store.catalog import Catalog
from store.pipelines import arguments
from tests.choices import choices

PROMPT = {"prompt": "red heart"}
FLOW_SOLVERS = [name for name in get_args(Solver) if name not in ("ddim", "ddpm")]


@pytest.fixture
def terms(catalog: Catalog) -> Terms:
    return catalog.default.terms


def of_kind(terms: Terms, kind: str) -> Terms:
    """The same model as one of another pipeline."""
    flow = not kind.startswith(("StableDiffusionPipeline", "StableDiffusionXL", "D"))
    return replace(terms, kind=kind, arguments=arguments(kind), flow=flow)


def refused(terms: Terms, **fields: Any) -> tuple[str, Code, str]:
    with pytest.raises(InvalidFields) as raised:
        resolve(terms, {**PROMPT, **fields})
    (problem,) = raised.value.problems
    return problem.field, problem.code, problem.message


def test_a_field_of_other_kinds_is_refused_and_resolves_to_its_neutral_value(terms: Terms) -> None:
    message = "must be left out: model emoji does not take it"
    assert refused(terms, true_cfg_scale=2.0) == ("true_cfg_scale", Code.CONFLICT, message)
    assert resolve(terms, {**PROMPT, "true_cfg_scale": 1.0, "guidance_rescale": 0.5}).true_cfg_scale == 1.0
    flux = of_kind(terms, "FluxPipeline")
    assert refused(flux, guidance_rescale=0.5)[0] == "guidance_rescale"
    assert resolve(flux, {**PROMPT, "true_cfg_scale": 2.0}).true_cfg_scale == 2.0


def test_what_a_model_looks_at(terms: Terms) -> None:
    two = {**PROMPT, "references": ["a", "b"]}
    assert resolve(of_kind(terms, "Flux2Pipeline"), two).references == ["a", "b"]
    message = "may be at most 1 with model emoji"
    assert refused(of_kind(terms, "FluxKontextPipeline"), references=["a", "b"]) == ("references", Code.LENGTH, message)
    assert refused(terms, references=["a"])[:2] == ("references", Code.CONFLICT)
    assert resolve(terms, {**PROMPT, "references": []}).references == []


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("QwenImagePipeline", {"true_cfg_scale"}),
        ("FluxPipeline", {"true_cfg_scale"}),
        ("Flux2Pipeline", set[str]()),
        ("StableDiffusionXLPipeline", {"guidance_rescale"}),
        ("StableDiffusionXLPAGPipeline", {"guidance_rescale"}),
        ("StableDiffusion3Pipeline", set[str]()),
    ],
)
def test_what_a_model_takes_is_what_its_pipeline_does(terms: Terms, kind: str, taken: set[str]) -> None:
    fields = {field.name for field in form(of_kind(terms, kind))}
    assert fields & {"true_cfg_scale", "guidance_rescale"} == taken


def test_bounds_of_a_field_that_is_taken(terms: Terms) -> None:
    flux = of_kind(terms, "FluxPipeline")
    assert refused(flux, true_cfg_scale=0.5)[1:] == (Code.RANGE, "must be from 1 to 20")
    assert refused(flux, true_cfg_scale=21.0)[1:] == (Code.RANGE, "must be from 1 to 20")


@pytest.mark.parametrize("kind", ["FluxPipeline", "StableDiffusion3Pipeline", "QwenImagePipeline"])
@pytest.mark.parametrize("solver", ["ddim", "ddpm"])
def test_models_by_flow_matching_take_no_solver_of_another_process(terms: Terms, kind: str, solver: str) -> None:
    flow = of_kind(terms, kind)
    message = f"must be {choices(FLOW_SOLVERS)} with model emoji"
    assert refused(flow, solver=solver) == ("solver", Code.CHOICE, message)
    for taken in FLOW_SOLVERS:
        assert resolve(flow, {**PROMPT, "solver": taken}).solver == taken
    assert resolve(flow, PROMPT).solver is None


def test_of_a_model_that_is_not_known_yet_nothing_is_refused(terms: Terms) -> None:
    unknown = replace(terms, kind=None, arguments=None, flow=None)
    made = resolve(unknown, {**PROMPT, "solver": "ddpm", "true_cfg_scale": 2.0, "guidance_rescale": 0.5})
    assert (made.solver, made.true_cfg_scale, made.guidance_rescale) == ("ddpm", 2.0, 0.5)


@pytest.mark.parametrize("solver", [None, "euler", "ddpm"])
def test_eta_is_for_ddim(terms: Terms, solver: str | None) -> None:
    message = "must be left out unless solver is ddim"
    assert refused(terms, solver=solver, eta=0.5) == ("eta", Code.CONFLICT, message)
    assert resolve(terms, {**PROMPT, "solver": solver, "eta": 0.0}).eta == 0
    assert resolve(terms, {**PROMPT, "solver": "ddim", "eta": 0.5}).eta == 0.5


def test_a_resolved_request_can_be_sent_again(terms: Terms) -> None:
    made = resolve(terms, {**PROMPT, "solver": "ddim", "eta": 0.5, "guidance_rescale": 0.7})
    assert resolve(terms, made.model_dump()) == made


def test_form_and_schema_have_what_a_model_on_offer_takes(terms: Terms) -> None:
    flux = replace(of_kind(terms, "FluxPipeline"), model="flux")

    def shown(kind: Terms) -> set[str]:
        return {field.name for field in form(kind)} & {"eta", "guidance_rescale", "true_cfg_scale"}

    assert (shown(terms), shown(flux)) == ({"eta", "guidance_rescale"}, {"true_cfg_scale"})
    (options,) = [field.options or [] for field in form(flux) if field.name == "solver"]
    assert [option.value for option in options] == FLOW_SOLVERS

    one, other = (request_schema([each])["properties"] for each in (terms, flux))
    bounds = operator.itemgetter("minimum", "maximum")
    assert bounds(one["true_cfg_scale"]) == (1, 1)
    assert bounds(other["guidance_rescale"]) == (0, 0)
    assert bounds(one["guidance_rescale"]) == (0, 1)
    assert one["solver"]["enum"] == [*get_args(Solver), None]
    assert other["solver"]["enum"] == [*FLOW_SOLVERS, None]
    both = request_schema([terms, flux])["properties"]
    assert bounds(both["true_cfg_scale"]) == (1, 20)
    assert both["solver"]["enum"] == one["solver"]["enum"]
