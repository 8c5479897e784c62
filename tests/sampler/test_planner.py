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


def sloping(slope):
    """A device on which each further evaluation of a round costs a share of the first."""
    return lambda width: 1 + slope * (width - 1)


def spent(model, trajectory, slots, cost):
    """What a trajectory takes alone, in rounds of one evaluation."""
    total = 0.0
    while chosen := trajectory.ready()[:slots]:
        x = torch.stack([evaluation.x for evaluation in chosen])
        timestep = torch.tensor([evaluation.timestep for evaluation in chosen])
        trajectory.take(chosen, model.denoise(x, timestep, [Unconditional()] * len(chosen)))
        total += cost(len(chosen))
    return total


@pytest.mark.parametrize("cost", [flat, guess, steep])
@pytest.mark.parametrize("steps", [4, 10, 50])
def test_the_exact_image_that_nobody_watches_is_the_serial_samplers(steps, cost):
    made = choose(steps, 16, tolerance=0.0, cost=cost, previews=False)
    assert (made.method, made.rounds, made.evaluations) == ("serial", steps, steps)


@pytest.mark.parametrize("cost", [flat, guess, steep])
@pytest.mark.parametrize("steps", [50, 100, 1000])
def test_with_a_tolerance_it_is_collocation_on_every_device(steps, cost):
    made = choose(steps, 16, tolerance=1e-2, cost=cost)
    assert made.method == "collocation"
    assert made.width is not None
    assert made.width > 1 or cost is not flat
    assert made.width == 1 or cost is not steep
    assert made.rounds * cost(made.width) < 0.5 * steps


def test_where_collocation_does_not_pay_it_is_the_serial_sampler():
    assert choose(14, 1, tolerance=1e-2).method == "serial"
    assert choose(17, 1, tolerance=1e-2).method == "collocation"
    assert choose(28, 1, tolerance=1e-2, guidance=3.0).method == "collocation"
    assert choose(28, 1, tolerance=1e-2, guidance=15.0).method == "serial"
    assert choose(100, 1, tolerance=1e-2, guidance=15.0).method == "collocation"
    assert choose(50, 1, tolerance=1e-4).method == "serial"
    assert choose(50, 16, tolerance=1e-4).method == "collocation"


@pytest.mark.parametrize("tolerance", [0.0, 1e-2])
def test_a_solver_without_a_linear_form_is_not_collocated(tolerance):
    assert choose(100, 16, tolerance=tolerance, linear=False).method == "srds"
    assert choose(100, 16, tolerance=tolerance, linear=False, busy=True).method == "serial"


def test_a_draft_in_parallel():
    draft = choose(100, 16, tolerance=5e-3, max_iterations=2)
    assert (draft.method, draft.preview_first) == ("srds", False)
    assert draft.rounds < 35


@pytest.mark.parametrize("steps", [10, 25, 50, 100])
def test_to_the_exact_image_there_are_iterates_to_see_where_they_delay_it_by_no_more_than_they_are_worth(steps):
    others: list[dict[str, Any]] = [{"previews": False}, {"wish": "cost"}, {"busy": True}]

    for cost in (flat, sloping(0.01)):
        made = choose(steps, 8, tolerance=0, cost=cost)
        assert (made.method, made.rounds, made.width) == ("srds", steps, 8)
        assert made.rounds * cost(round(made.evaluations / made.rounds)) <= 1.05 * steps
        for wishes in others:
            cheap = choose(steps, 8, tolerance=0, cost=cost, **wishes)
            assert (cheap.method, cheap.evaluations) in [("serial", steps), ("srds", made.evaluations)]
    assert choose(steps, 8, tolerance=0, cost=steep).method == "serial"


@pytest.mark.parametrize("cost", [flat, guess, steep])
@pytest.mark.parametrize("steps", [10, 50, 100, 1000])
def test_the_wish_for_low_cost_takes_hardly_more_evaluations_than_the_fewest(steps, cost):
    cheap = choose(steps, 16, tolerance=5e-3, cost=cost, wish="cost")
    fast = choose(steps, 16, tolerance=5e-3, cost=cost)
    assert cheap.evaluations <= fast.evaluations
    assert cheap.evaluations <= 1.05 * min(steps, choose(steps, 1, tolerance=5e-3).evaluations)


@pytest.mark.parametrize("cost", [flat, guess, steep])
def test_on_a_busy_engine_collocation_takes_the_fewest_evaluations(cost):
    made = choose(100, 16, tolerance=1e-2, cost=cost, busy=True)
    assert (made.method, made.width) == ("collocation", 1)


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
    cost = sloping(slope)
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
    made = choose(50, 8, tolerance=5e-3, max_iterations=draft)
    made = made if draft is None else replace(made, blocks=9)
    assert made.method == ("collocation" if draft is None else "srds")
    half = start(made, solver(50), noise(), tolerance=5e-3)
    while half.newest is None:
        run_round(half)
    again = plan("auto", solver(50), 8, tolerance=tolerance, cost=cost, checkpoint=half.checkpoint())
    assert (again.method, again.blocks) == (made.method, made.blocks)
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


@pytest.mark.parametrize("steps", [25, 50, 100])
def test_iterates_on_the_way_to_the_exact_image_delay_it_by_at_most_5_percent(steps):
    methods = []
    for slope in (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5):
        cost = sloping(slope)
        made = choose(steps, 8, tolerance=0, cost=cost)
        trajectory = start(made, solver(steps), noise(), tolerance=0, cost=cost)
        assert spent(Mixture(), trajectory, 8, cost) <= 1.05 * steps
        methods.append(made.method)
    # SRDS shows better pictures, so it is chosen up to that limit, and the serial sampler beyond it.
    assert methods == sorted(methods, reverse=True)
    assert set(methods) == {"srds", "serial"}


@pytest.mark.parametrize("steps", [25, 100, 400])
@pytest.mark.parametrize(("wide", "method"), [(1.045, "srds"), (1.055, "serial")])
def test_iterates_on_the_way_to_the_exact_image_may_take_a_twentieth_longer(steps, wide, method):
    made = choose(steps, 8, tolerance=0, cost=lambda width: 1.0 if width == 1 else wide)
    assert made.method == method
