"""The planner's formulas and its choice."""

import pytest

from sampler import Parareal, Window, choose_blocks, plan, predict
from tests.sampler.problems import Mixture, noise, run, solver


@pytest.mark.parametrize(
    ("steps", "expected"), [(25, [9, 13, 17, 21]), (100, [19, 28, 37, 46]), (1024, [63, 94, 125, 156])]
)
def test_rounds_of_square_root_blocks(steps, expected):
    """The table of the pipelined schedule: (p + 1) sqrt(N) - p."""
    root = round(steps**0.5)
    assert [plan.rounds([root] * root, p) for p in (1, 2, 3, 4)] == expected
    assert plan.rounds([root] * root, root) == steps


@pytest.mark.parametrize("steps", [25, 50, 100, 400])
@pytest.mark.parametrize("iterates", [1, 2, 3])
def test_with_ample_width_blocks_are_near_the_square_root_of_pN(steps, iterates):
    blocks = choose_blocks(steps, width=10**6, iterates=iterates)
    assert blocks == pytest.approx((iterates * steps) ** 0.5, rel=0.35)


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16, 64])
@pytest.mark.parametrize("steps", [1, 2, 10, 25, 50, 100])
def test_the_prediction_is_a_lower_bound_that_the_engine_comes_near(steps, width):
    blocks = choose_blocks(steps, width)
    expected = predict(steps, blocks, 2, width)
    trajectory = Parareal(solver(steps), noise(), blocks=blocks, max_iterations=2)
    run(Mixture(), trajectory, width)
    assert trajectory.evaluations <= expected.evaluations
    assert expected.rounds <= steps + blocks - 1
    assert trajectory.rounds <= steps + blocks - 1
    if width >= 8:
        assert trajectory.rounds == pytest.approx(expected.rounds, rel=0.25, abs=1)


@pytest.mark.parametrize(("tolerance", "iterates"), [(0.5, 1), (0.05, 1), (5e-3, 2), (5e-4, 3), (5e-5, 4), (0, 2)])
def test_a_lower_tolerance_is_expected_to_take_more_iterates(tolerance, iterates):
    assert plan.expected_iterates(tolerance) == iterates


def test_a_single_slot_gets_square_root_blocks_for_the_preview():
    assert choose_blocks(100, width=1) == 10


def test_few_steps_are_fine():
    assert choose_blocks(1, 16) == 1
    assert all(1 <= choose_blocks(steps, width) <= steps for steps in range(1, 8) for width in (1, 2, 16))


@pytest.mark.parametrize("preview_first", [False, True])
@pytest.mark.parametrize(("steps", "width"), [(25, 4), (100, 4), (100, 16), (400, 16)])
def test_the_window_is_expected_to_cost_about_what_it_does(steps, width, preview_first):
    expected = plan.predict_window(steps, width, round(steps**0.5), preview_first=preview_first)
    trajectory = Window(solver(steps), noise(), width=width, tolerance=0.02, preview_first=preview_first)
    run(Mixture(), trajectory, width)
    assert trajectory.rounds == pytest.approx(expected.rounds, rel=0.35, abs=3)
    assert trajectory.evaluations == pytest.approx(expected.evaluations, rel=0.35)
