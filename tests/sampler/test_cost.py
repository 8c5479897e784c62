"""What a round costs, as it was seen."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler import Engine, Parareal
from sampler.cost import RoundCost, fit, flat, guess, has_room
from tests.sampler.problems import SHAPE, Mixture, Unconditional, noise, solver


def test_before_anything_was_seen_it_is_a_guess():
    assert [RoundCost().curve("any")(width) for width in (1, 4, 9)] == [guess(1), guess(4), guess(9)]


def test_the_first_round_of_a_width_does_not_count():
    cost = RoundCost()
    for seconds in (60.0, 1.0, 1.2, 1.1):
        cost.note("a", 1, seconds)
    for seconds in (90.0, 4.4, 4.2, 4.6):
        cost.note("a", 8, seconds)
    assert cost.curve("a")(8) == pytest.approx(4)
    assert cost.curve("b")(8) == guess(8)


def test_between_what_was_seen_it_is_straight_and_beyond_it_goes_on():
    curve = fit({1: 2.0, 5: 4.0, 9: 10.0})
    assert [curve(width) for width in (1, 3, 5, 7, 9, 11)] == pytest.approx([1, 1.5, 2, 3.5, 5, 6])


def test_what_was_seen_at_one_width_is_carried_on_by_the_guess():
    curve = fit({4: 3.0})
    assert curve(8) / curve(4) == pytest.approx(guess(8) / guess(4))
    assert curve(1) == 1


@given(st.dictionaries(st.integers(1, 64), st.floats(1e-4, 10), min_size=1))
def test_a_wider_round_is_never_cheaper(seen):
    curve = fit(seen)
    costs = [curve(width) for width in range(1, 80)]
    assert costs[0] == pytest.approx(1)
    assert all(a <= b * (1 + 1e-9) for a, b in pairwise(costs))


def test_room():
    assert has_room(flat, 64)
    assert not has_room(guess, 2)


def test_an_engine_notes_its_rounds():
    engine = Engine(Mixture(), 8)
    engine.add(Parareal(solver(40), noise(), blocks=8), Unconditional())
    while engine.active:
        engine.round()
    curve = engine.cost.curve((SHAPE, Unconditional().signature))
    assert any(curve(width) != guess(width) for width in range(2, 9))
