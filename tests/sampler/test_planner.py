"""What `auto` chooses, and that it does not lose by it."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler import Checkpoint, Parareal, Status
from sampler.cost import flat, guess
from sampler.methods import METHODS
from sampler.methods.srds.convergence import Convergence, expected_iterates
from tests.sampler.plans import choose, plan, resume, start
from tests.sampler.problems import Mixture, Unconditional, noise, relative_error, run, solver


def steep(width):
    """A device that one evaluation fills."""
    return float(width)


def spent(model, trajectory, slots, cost):
    """What a trajectory takes alone, in rounds of one evaluation."""
    total = 0.0
    while chosen := trajectory.ready()[:slots]:
        x = torch.stack([evaluation.x for evaluation in chosen])
        timestep = torch.tensor([evaluation.timestep for evaluation in chosen])
        trajectory.take(chosen, model.denoise(x, timestep, [Unconditional()] * len(chosen)))
        total += cost(len(chosen))
    return total


@pytest.mark.parametrize("tolerance", [0.0, 5e-3])
@pytest.mark.parametrize("steps", [10, 25, 50, 100])
def test_on_a_device_that_is_full_it_is_the_serial_sampler_with_a_preview(steps, tolerance):
    made = choose(steps, 16, tolerance=tolerance, cost=steep)
    trajectory = start(made, solver(steps), noise(), tolerance=tolerance, cost=steep)
    iterates = run(Mixture(), trajectory, 16)
    assert trajectory.rounds == trajectory.evaluations == steps + made.blocks - 1 <= 1.05 * steps
    assert iterates[0].rounds == made.blocks <= 0.08 * steps + 1
    assert len(iterates) <= 2 + steps / 24, "decoding takes time too"
    assert trajectory.status is Status.EXACT


@pytest.mark.parametrize("cost", [flat, guess, steep])
@pytest.mark.parametrize("steps", [10, 25, 50, 100])
def test_a_preview_that_nobody_wants_costs_no_evaluation(steps, cost):
    made = choose(steps, 4, tolerance=5e-3, cost=cost, previews=False)
    assert made.blocks == 1
    trajectory = start(made, solver(steps), noise(), tolerance=5e-3, cost=cost)
    iterates = run(Mixture(), trajectory, 4)
    assert len(iterates) > 1, "there is something to go on from when the worker dies"
    wanted = start(choose(steps, 4, tolerance=5e-3, cost=cost), solver(steps), noise(), tolerance=5e-3, cost=cost)
    run(Mixture(), wanted, 4)
    assert (trajectory.rounds, trajectory.evaluations) <= (wanted.rounds, wanted.evaluations)
    serial = run(Mixture(), Parareal(solver(steps), noise(), blocks=1), 1)[-1].sample
    assert relative_error(trajectory.newest.sample, serial) < 0.02


def test_a_wide_window_has_a_coarse_grid_whether_its_preview_is_wanted_or_not():
    assert choose(100, 16, tolerance=5e-3, previews=False) == choose(100, 16, tolerance=5e-3)


def test_with_room_it_is_the_window_and_where_all_iterates_are_wanted_srds_in_parallel():
    window = choose(100, 16, tolerance=5e-3)
    assert (window.method, window.width, window.preview_first) == ("window", 16, False)
    draft = choose(100, 16, tolerance=5e-3, max_iterations=2)
    assert (draft.method, draft.preview_first) == ("srds", False)
    assert draft.rounds < 35


@pytest.mark.parametrize("steps", [10, 25, 50, 100])
def test_to_the_exact_image_there_are_iterates_to_see_where_they_delay_it_by_no_more_than_they_are_worth(steps):
    def sloping(width: int) -> float:
        return 1 + 0.01 * (width - 1)

    others: list[dict[str, Any]] = [{"previews": False}, {"wish": "cost"}, {"busy": True}]

    for cost in (flat, sloping):
        made = choose(steps, 8, tolerance=0, cost=cost)
        assert (made.method, made.rounds, made.width) == ("srds", steps, 8)
        assert made.rounds * cost(round(made.evaluations / made.rounds)) <= 1.05 * steps
        for wishes in others:
            cheap = choose(steps, 8, tolerance=0, cost=cost, **wishes)
            assert cheap.method == "window"
            assert cheap.evaluations <= 1.04 * steps
    assert choose(steps, 8, tolerance=0, cost=steep).method == "window"


def test_on_a_small_machine_the_window_is_narrow_and_the_preview_comes_first():
    made = choose(100, 16, tolerance=5e-3, cost=guess)
    assert (made.method, made.preview_first) == ("window", True)
    assert made.width in range(2, 9)


@pytest.mark.parametrize("cost", [flat, guess, steep])
@pytest.mark.parametrize("steps", [10, 50, 100, 1000])
def test_the_wish_for_low_cost_takes_hardly_more_evaluations_than_the_fewest(steps, cost):
    cheap = choose(steps, 16, tolerance=5e-3, cost=cost, wish="cost")
    fast = choose(steps, 16, tolerance=5e-3, cost=cost)
    assert cheap.evaluations <= fast.evaluations
    assert cheap.evaluations <= 1.05 * (steps + round(steps**0.5) - 1)


@pytest.mark.parametrize(("steps", "previews"), [(10, 0), (40, 0), (50, 2), (100, 4)])
@pytest.mark.parametrize("cost", [flat, guess, steep])
def test_on_a_busy_engine_no_preview_costs_an_evaluation(steps, previews, cost):
    made = choose(steps, 16, tolerance=5e-3, cost=cost, busy=True)
    trajectory = start(made, solver(steps), noise(), tolerance=5e-3, cost=cost)
    iterates = run(Mixture(), trajectory, 1)  # the one slot that each gets
    assert len(iterates) == previews + 1
    assert (trajectory.rounds, trajectory.evaluations) == (made.rounds, made.evaluations) == (steps, steps)
    assert trajectory.status is Status.EXACT


def test_when_the_others_have_left_a_window_has_its_width_again():
    made = choose(100, 16, tolerance=5e-3, busy=True)
    trajectory = start(made, solver(100), noise(), tolerance=5e-3)
    run(Mixture(), trajectory, 16)
    assert trajectory.rounds < 50


def test_a_draft_is_srds():
    made = choose(50, 16, tolerance=5e-3, max_iterations=1)
    assert made.method == "srds"
    trajectory = start(made, solver(50), noise(), tolerance=5e-3, max_iterations=1)
    assert [iterate.number for iterate in run(Mixture(), trajectory, 16)] == [0, 1]


@settings(deadline=None, max_examples=60)
@given(
    steps=st.integers(1, 60),
    slots=st.integers(1, 20),
    slope=st.floats(0, 1.5),
    tolerance=st.sampled_from([0.0, 1e-3, 0.02]),
)
def test_any_choice_gives_the_serial_image_and_loses_little(steps, slots, slope, tolerance):
    def cost(width):
        return 1 + slope * (width - 1)

    made = choose(steps, slots, tolerance=tolerance, cost=cost)
    trajectory = start(made, solver(steps), noise(), tolerance=tolerance, cost=cost)
    took = spent(Mixture(), trajectory, slots, cost)
    exact = run(Mixture(), Parareal(solver(steps), noise(), blocks=1), 1)[-1].sample
    assert relative_error(trajectory.newest.sample, exact) < max(1e-5, 2 * tolerance)
    # The image, beside the preview's own cost; a few steps more where there are only a few.
    assert took - (made.blocks - 1) <= 1.05 * steps + 3


def test_named_methods_do_not_regard_the_cost():
    for method in METHODS:
        plans = [plan(method, solver(50), 16, tolerance=5e-3, cost=cost) for cost in (flat, guess, steep)]
        assert plans[0] == plans[1] == plans[2]
    assert plan("auto", solver(50), 16, tolerance=5e-3, blocks=6).blocks == 6


def test_srds_goes_on_alone_where_its_iterates_converge_too_slowly():
    """Expected to converge by iterate 2 it would be worthwhile; when that does not come, the serial path is."""
    model = Mixture()
    trajectory = Parareal(solver(60), noise(), blocks=6, tolerance=1e-9, width=16, cost=guess)
    iterates = run(model, trajectory, 16)
    assert trajectory.status is Status.EXACT
    assert model.calls[-10:] == [1] * 10
    exact = run(Mixture(), Parareal(solver(60), noise(), blocks=1), 1)[-1].sample
    assert relative_error(iterates[-1].sample, exact) < 1e-6


@pytest.mark.parametrize("draft", [None, 3])
def test_a_plan_resumes_whatever_the_checkpoint_is_of(draft):
    made = choose(50, 8, tolerance=5e-3, max_iterations=draft)
    half = start(made, solver(50), noise(), tolerance=5e-3)
    while half.newest is None:
        run_round(half)
    saved = Checkpoint.from_bytes(half.checkpoint().to_bytes())
    again = plan("auto", solver(50), 8, tolerance=5e-3, checkpoint=saved)
    whole = resume(again, solver(50), saved, tolerance=5e-3)
    assert whole.method == made.method
    run(Mixture(), whole, 8)
    assert whole.status in (Status.CONVERGED, Status.EXACT)


@pytest.mark.parametrize("cost", [flat, guess, steep])
@pytest.mark.parametrize("tolerance", [0.0, 5e-3])
@pytest.mark.parametrize("draft", [None, 2])
def test_what_is_gone_on_from_a_checkpoint_is_planned_as_what_it_is(draft, tolerance, cost):
    made = replace(choose(50, 8, tolerance=5e-3, max_iterations=draft), blocks=9)
    assert made.method == ("window" if draft is None else "srds")
    half = start(made, solver(50), noise(), tolerance=5e-3)
    while half.newest is None:
        run_round(half)
    again = plan("auto", solver(50), 8, tolerance=tolerance, cost=cost, checkpoint=half.checkpoint())
    assert (again.method, again.blocks) == (made.method, 9)
    assert again.width in range(1, 9)
    assert resume(again, solver(50), half.checkpoint(), tolerance=tolerance, cost=cost).method == again.method


def run_round(trajectory):
    chosen = trajectory.ready()
    outputs = Mixture().output(torch.stack([e.x for e in chosen]), torch.tensor([e.timestep for e in chosen]))
    trajectory.take(chosen, outputs)


def test_what_has_converged_slowly_is_expected_to():
    seen = Convergence()
    residuals = [0.3, 0.2, 0.15, 0.1]
    for _ in range(30):
        seen.observe(1, residuals[0], None)
        for number, (before, now) in enumerate(pairwise(residuals), 2):
            seen.observe(number, now, before)
    assert seen.first == pytest.approx(0.3, rel=0.05)
    assert 0.6 < seen.contraction < 0.8
    assert expected_iterates(5e-3, seen) > 2 * expected_iterates(5e-3)


@pytest.mark.parametrize("steps", [25, 100, 400])
@pytest.mark.parametrize(("wide", "method"), [(1.045, "srds"), (1.055, "window")])
def test_iterates_on_the_way_to_the_exact_image_may_take_a_twentieth_longer(steps, wide, method):
    made = choose(steps, 8, tolerance=0, cost=lambda width: 1.0 if width == 1 else wide)
    assert made.method == method
