"""The methods, their parameters and the solvers of requests are those of the sampler."""

from typing import get_args

import pytest

from contract import methods
from contract.table import GENERATION
from contract.words import Method, SampledBy, Solver
from sampler.methods import METHODS
from sampler.planner import AUTO
from sampler.solvers import SOLVERS


def test_every_method_of_the_sampler_can_be_asked_for_and_no_other() -> None:
    assert set(get_args(SampledBy)) == set(METHODS)
    assert set(get_args(Method)) == {AUTO, *METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_a_request_may_have_the_parameters_that_its_method_takes(method: SampledBy) -> None:
    assert methods.METHODS[method].takes == METHODS[method].parameters


def test_every_solver_of_the_sampler_can_be_asked_for_and_no_other() -> None:
    assert set(get_args(Solver)) == set(SOLVERS)


def test_a_request_for_a_flow_model_may_name_the_solvers_that_solve_flow_matching() -> None:
    refused = set(GENERATION["solver"].about.not_for_flow)
    assert refused == {name for name, kind in SOLVERS.items() if not kind.flow}
