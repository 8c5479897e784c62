"""The methods of requests and of the sampler are the same."""

from typing import get_args

from contract.words import Method, SampledBy
from sampler.methods import METHODS
from sampler.planner import AUTO


def test_every_method_of_the_sampler_can_be_asked_for_and_no_other() -> None:
    assert set(get_args(SampledBy)) == set(METHODS)
    assert set(get_args(Method)) == {AUTO, *METHODS}
