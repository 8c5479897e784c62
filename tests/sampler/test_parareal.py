"""The schedule and the arithmetic of the pipelined SRDS trajectory."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.problems import Tree
from sampler import Checkpoint, InvalidCheckpoint, Parareal, Status, textbook
from sampler.grid import block_edges
from sampler.methods.srds import dataflow
from sampler.methods.srds.convergence import error_estimate
from tests.sampler.problems import Mixture, Schedule, noise, relative_error, run, solver

UNBOUNDED = 10**9


def lengths_of(steps, blocks):
    edges = block_edges(steps, blocks)
    return [b - a for a, b in pairwise(edges)]


@pytest.mark.parametrize(("steps", "blocks"), [(12, 4), (13, 4), (9, 9), (10, 1)])
def test_every_iterate_is_that_of_the_textbook_algorithm(steps, blocks):
    model = Mixture()
    expected = list(textbook.srds(solver(steps), model.output, noise(), blocks))
    iterates = run(model, Parareal(solver(steps), noise(), blocks=blocks, correction="plain"), UNBOUNDED)
    assert [iterate.number for iterate in iterates] == list(range(len(iterates)))
    for iterate in iterates:
        assert relative_error(iterate.sample, expected[iterate.number]) < 5e-6


@pytest.mark.parametrize(("steps", "blocks"), [(25, 5), (100, 10), (1024, 32)])
def test_iterate_p_of_equal_blocks_is_complete_after_pS_plus_B_minus_p_rounds(steps, blocks):
    length, last = steps // blocks, min(blocks, 4)
    trajectory = Parareal(solver(steps), noise(), blocks=blocks, max_iterations=last)
    iterates = run(Mixture(), trajectory, UNBOUNDED)
    assert [iterate.rounds for iterate in iterates] == [p * length + blocks - p for p in range(last + 1)]


def test_all_iterates_together_take_exactly_N_rounds():
    iterates = run(Mixture(), Parareal(solver(100), noise(), blocks=10), UNBOUNDED)
    assert (iterates[-1].number, iterates[-1].rounds) == (10, 100)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=7), st.data())
def test_rounds_and_evaluations_follow_the_formulas_for_any_blocks(lengths, data):
    """T(p) = (B - p) + the p longest blocks; stopped at iterate p, exactly E(p) evaluations have been spent."""
    last = data.draw(st.integers(0, len(lengths)))
    schedule = Schedule()
    trajectory = Parareal(solver(sum(lengths)), noise(), blocks=lengths, max_iterations=last)
    iterates = schedule.follow(Mixture(), trajectory, UNBOUNDED)
    assert [iterate.rounds for iterate in iterates] == [dataflow.rounds(lengths, p) for p in range(last + 1)]
    assert iterates[-1].evaluations == trajectory.evaluations == dataflow.evaluations(lengths, last)
    # Node (i, q): q <= i only (frozen prefix); all S_i steps below the last iterate, the shared evaluation alone in it.
    expected = {
        (i, q): (length if q < last else 1) for i, length in enumerate(lengths) for q in range(min(i, last) + 1)
    }
    assert schedule.per_node() == expected


@pytest.mark.parametrize(("steps", "blocks"), [(25, 5), (26, 5), (100, 10), (103, 10), (1024, 32), (1000, 31)])
def test_evaluations_by_the_time_an_iterate_is_complete(steps, blocks):
    """With unbounded width node (i, q) starts after round T(i, q), so its k-th step runs in round T(i, q) + k."""
    lengths = lengths_of(steps, blocks)
    last = min(blocks, 4)
    iterates = run(Mixture(), Parareal(solver(steps), noise(), blocks=blocks, max_iterations=last), UNBOUNDED)
    for iterate in iterates:
        expected = 0
        for i, length in enumerate(lengths):
            for q in range(min(i, last) + 1):
                known = dataflow.rounds(lengths[:i], q)
                expected += min(max(iterate.rounds - known, 0), length if q < last else 1)
        assert iterate.evaluations == expected


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.data())
def test_at_any_width_the_exact_image_takes_at_most_N_plus_B_minus_1_rounds_and_values_stay(steps, data):
    blocks = data.draw(st.integers(1, steps))
    width = data.draw(st.integers(1, 12))
    wide = {i.number: i for i in run(Mixture(), Parareal(solver(steps), noise(), blocks=blocks), UNBOUNDED)}
    trajectory = Parareal(solver(steps), noise(), blocks=blocks)
    schedule = Schedule()
    narrow = schedule.follow(Mixture(), trajectory, width)
    assert trajectory.status is Status.EXACT
    assert narrow[-1].rounds <= steps + blocks - 1
    assert max(map(len, schedule.rounds)) <= width
    assert [i.number for i in narrow] == sorted({i.number for i in narrow})
    for iterate in narrow:
        if iterate.number in wide:
            assert relative_error(iterate.sample, wide[iterate.number].sample) < 1e-5


@pytest.mark.parametrize("width", [1, 2, 5, 16])
@pytest.mark.parametrize(("steps", "blocks"), [(25, 5), (100, 10)])
def test_at_these_widths_too(steps, blocks, width):
    iterates = run(Mixture(), Parareal(solver(steps), noise(), blocks=blocks), width)
    assert iterates[0].rounds == blocks  # the first preview is never held up
    assert iterates[-1].number == blocks
    assert iterates[-1].rounds <= steps + blocks - 1


@pytest.mark.parametrize(("steps", "blocks"), [(25, 5), (100, 10), (37, 6)])
def test_run_to_the_last_block_it_is_the_serial_solution(steps, blocks):
    serial = run(Mixture(), Parareal(solver(steps), noise(), blocks=1), 1)[-1]
    exact = run(Mixture(), Parareal(solver(steps), noise(), blocks=blocks), UNBOUNDED)[-1]
    assert relative_error(exact.sample, serial.sample) < 1e-6


def test_it_stops_at_the_tolerance_and_says_so():
    trajectory = Parareal(solver(100), noise(), blocks=10, tolerance=5e-5)
    iterates = run(Mixture(), trajectory, UNBOUNDED)
    exact = run(Mixture(), Parareal(solver(100), noise(), blocks=1), 1)[-1]
    assert trajectory.status is Status.CONVERGED
    assert (iterates[0].residual, iterates[0].error_estimate) == (None, None)
    estimates = [iterate.error_estimate or 0.0 for iterate in iterates[1:]]
    assert estimates[-1] <= 5e-5 < min(estimates[:-1])
    assert relative_error(iterates[-1].sample, exact.sample) <= 5e-5 < iterates[-1].residual
    for before, iterate in pairwise(iterates):
        assert iterate.residual == pytest.approx(relative_error(before.sample, iterate.sample), rel=1e-4)


@pytest.mark.parametrize("tolerance", [3e-3, 1e-3])
@pytest.mark.parametrize(("steps", "blocks"), [(25, 5), (50, 10), (100, 10), (37, 6)])
def test_an_estimate_is_close_to_the_error_or_above_it_and_below_the_residual(steps, blocks, tolerance):
    for seed in range(4):
        exact = run(Mixture(), Parareal(solver(steps), noise(seed), blocks=1), 1)[-1].sample
        iterates = run(Mixture(), Parareal(solver(steps), noise(seed), blocks=blocks, tolerance=tolerance), UNBOUNDED)
        for iterate in iterates[1:]:
            assert relative_error(iterate.sample, exact) < 2 * iterate.error_estimate
            assert iterate.error_estimate < iterate.residual
        assert iterates[-1].error_estimate <= tolerance
        assert relative_error(iterates[-1].sample, exact) <= tolerance


@pytest.mark.parametrize(
    ("number", "residual", "previous", "estimate"),
    [
        (1, 0.04, None, 1.6 * 0.2 * 0.04),
        (1, 0.81, None, 0.81),
        (2, 0.04, 0.16, 0.01),
        (2, 0.32, 0.16, 0.64),
        (3, 0.04, 0.16, 0.02),
        (5, 0.16, 0.04, 0.32),
        (2, 1e-6, 1.0, 1e-6),
        (3, 0.0, 0.1, 1e-6),
    ],
)
def test_the_estimate_is_the_residual_times_the_expected_contraction(number, residual, previous, estimate):
    assert error_estimate(number, residual, previous) == pytest.approx(estimate)


def test_the_first_iterate_may_stop_it():
    trajectory = Parareal(solver(100), noise(), blocks=10, tolerance=1e9)
    assert [iterate.number for iterate in run(Mixture(), trajectory, UNBOUNDED)] == [0, 1]
    assert trajectory.status is Status.CONVERGED


@pytest.mark.parametrize(("last", "status"), [(0, "max_iterations"), (10, "exact"), (99, "exact")])
def test_it_stops_at_max_iterations_unless_exact(last, status):
    trajectory = Parareal(solver(100), noise(), blocks=10, max_iterations=last)
    iterates = run(Mixture(), trajectory, UNBOUNDED)
    assert (trajectory.status, iterates[-1].number) == (Status(status), min(last, 10))


def test_accept_keeps_the_newest_iterate_and_before_any_waits_for_the_first():
    trajectory = Parareal(solver(20), noise(), blocks=4)
    trajectory.accept()
    assert [iterate.number for iterate in run(Mixture(), trajectory, 4)] == [0]
    assert trajectory.status is Status.ACCEPTED

    later = Parareal(solver(20), noise(), blocks=4, max_iterations=1)
    run(Mixture(), later, 4)
    later.accept()
    assert later.status is Status.MAX_ITERATIONS  # an ended trajectory stays as it ended


@pytest.mark.parametrize(
    "arguments", [{"tolerance": -1}, {"max_iterations": -1}, {"blocks": 21}, {"tolerance": math.nan}]
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"tolerance|max_iterations|blocks"):
        Parareal(solver(20), noise(), **({"blocks": 4} | arguments))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 30), st.data())
def test_resumed_from_any_round_it_goes_on_bit_for_bit(steps, data):
    blocks = data.draw(st.integers(1, steps))
    width = data.draw(st.integers(1, 9))
    rounds = data.draw(st.integers(0, steps + blocks))
    model = Mixture()

    def finish(trajectory, limit=10**6):
        for _ in range(limit):
            chosen = trajectory.ready()[:width]
            if not chosen:
                break
            # One at a time: a batch of another size may round differently.
            outputs = [model.output(e.x[None], torch.tensor([e.timestep])) for e in chosen]
            trajectory.take(chosen, torch.cat(outputs))
        return trajectory

    whole = finish(Parareal(solver(steps), noise(), blocks=blocks))
    half = finish(Parareal(solver(steps), noise(), blocks=blocks), rounds)
    saved = Checkpoint.from_bytes(half.checkpoint().to_bytes())
    resumed = finish(Parareal.resume(solver(steps), saved))
    assert resumed.status is whole.status is Status.EXACT
    assert torch.equal(resumed.newest.sample, whole.newest.sample)
    assert (resumed.rounds, resumed.evaluations) == (whole.rounds, whole.evaluations)


def test_a_draft_can_be_resumed_to_more_iterations():
    draft = Parareal(solver(100), noise(), blocks=10, max_iterations=1)
    run(Mixture(), draft, 8)
    again = Parareal.resume(solver(100), draft.checkpoint(), tolerance=1e-5)
    assert again.status is Status.RUNNING
    iterates = run(Mixture(), again, 8)
    straight = Parareal(solver(100), noise(), blocks=10, tolerance=1e-5)
    expected = run(Mixture(), straight, 8)
    assert [i.number for i in iterates] == [i.number for i in expected][2:]
    assert relative_error(iterates[-1].sample, expected[-1].sample) < 1e-6
    assert again.evaluations <= straight.evaluations


@pytest.mark.parametrize(
    "spoil",
    [lambda d: d | {"version": 99}, lambda d: d | {"method": "other"}, lambda d: d | {"edges": [0, 5]}],
)
def test_a_checkpoint_of_something_else_is_refused(spoil):
    saved = Parareal(solver(20), noise(), blocks=4).checkpoint()
    with pytest.raises(InvalidCheckpoint):
        Parareal.resume(solver(20), Checkpoint(saved.tensors, spoil(saved.description)))


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_bytes_that_are_no_checkpoint_are_refused(data):
    with pytest.raises(InvalidCheckpoint):
        Checkpoint.from_bytes(data)


@pytest.mark.parametrize("width", [1, 3, UNBOUNDED])
def test_a_preview_that_comes_first_shares_its_rounds_with_nothing(width):
    model = Mixture()
    iterates = run(model, Parareal(solver(100), noise(), blocks=10, preview_first=True), width)
    assert model.calls[:10] == [1] * 10
    assert (iterates[0].rounds, iterates[0].evaluations) == (10, 10)
    assert iterates[-1].number == 10
    assert iterates[-1].rounds <= 100 + 10 - 1


def test_a_trajectory_asks_for_no_more_than_its_width():
    model = Mixture()
    trajectory = Parareal(solver(100), noise(), blocks=10, width=3)
    run(model, trajectory, UNBOUNDED)
    assert max(model.calls) == 3
    assert trajectory.status is Status.EXACT


def test_a_checkpoint_with_fields_that_are_gone_is_resumed():
    """As versions before 0.2 wrote it."""
    half = Parareal(solver(20), noise(), blocks=4)
    run(Mixture(), half, 4)
    saved = half.checkpoint()
    old = Checkpoint(saved.tensors, saved.description | {"settled": [], "block_tolerance": 0.0})
    resumed = Parareal.resume(solver(20), Checkpoint.from_bytes(old.to_bytes()))
    assert torch.equal(resumed.newest.sample, half.newest.sample)


def drive(model, trajectory, rounds=10**6):
    """The iterates of some rounds; one evaluation a call, since the size of a batch may change the last bit."""
    iterates = []
    while rounds and (chosen := trajectory.ready()):
        outputs = [model.denoise(e.x[None], torch.tensor([e.timestep]), ()) for e in chosen]
        iterates += trajectory.take(chosen, torch.cat(outputs))
        rounds -= 1
    return iterates


def stiff(seed=7, **options):
    """A trajectory whose iterate 2 is held back, and its model."""
    tree = Tree(0.02)
    return tree, Parareal(tree.solver(20), tree.noise(seed), blocks=4, **options)


def test_an_iterate_that_is_estimated_to_be_worse_is_held_back():
    tree, trajectory = stiff()
    driven = drive(tree, trajectory)
    assert [iterate.number for iterate in driven] == [0, 1, 3, 4]
    estimates = [iterate.error_estimate for iterate in driven[1:]]
    assert estimates == sorted(estimates, reverse=True)
    assert trajectory.newest is driven[-1]


def test_a_higher_estimate_alone_holds_nothing_back():
    """Iterates that converge show that the estimate before was too low."""
    tree = Tree(0.02)
    iterates = drive(tree, Parareal(tree.solver(20), tree.noise(6), blocks=5))
    one, two = iterates[1:3]
    assert (one.number, two.number) == (1, 2)
    assert one.error_estimate < two.error_estimate < two.residual < 0.7 * one.residual


def test_the_last_iterate_is_never_held_back():
    tree, trajectory = stiff(max_iterations=2)
    assert [iterate.number for iterate in drive(tree, trajectory)] == [0, 1, 2]
    assert trajectory.status is Status.MAX_ITERATIONS


def test_an_iterate_that_is_held_back_is_in_the_checkpoint():
    tree, whole = stiff()
    ended = drive(tree, whole)
    tree, half = stiff()
    rounds = ended[2].rounds - 1
    shown = drive(tree, half, rounds)
    saved = Checkpoint.from_bytes(half.checkpoint().to_bytes())
    assert saved.description["held"][0] == 2
    resumed = Parareal.resume(tree.solver(20), saved)
    assert resumed.newest.number == 1
    rest = drive(tree, resumed)
    for one, other in zip([*shown, *rest], ended, strict=True):
        assert torch.equal(one.sample, other.sample)
        assert (one.number, one.residual, one.error_estimate) == (other.number, other.residual, other.error_estimate)
    assert (resumed.rounds, resumed.evaluations) == (whole.rounds, whole.evaluations)


def test_to_accept_is_to_keep_the_newest_shown_iterate():
    tree, trajectory = stiff()
    drive(tree, trajectory, drive(*stiff())[2].rounds - 1)
    trajectory.accept()
    assert (trajectory.status, trajectory.newest.number) == (Status.ACCEPTED, 1)


def test_a_held_iterate_that_was_the_last_one_ends_with_the_one_before():
    tree, trajectory = stiff()
    drive(tree, trajectory, drive(*stiff())[2].rounds - 1)
    resumed = Parareal.resume(tree.solver(20), trajectory.checkpoint(), max_iterations=2)
    assert (resumed.status, resumed.newest.number) == (Status.MAX_ITERATIONS, 1)
