"""What holds for every row of the table of methods."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from sampler import Checkpoint, Circumstances, Engine, InvalidCheckpoint, Parareal, Status, Stopping, planner
from sampler.cost import flat, guess
from sampler.methods import METHODS, new_methods
from tests.sampler.problems import Mixture, Unconditional, noise, relative_error, run, solver

NAMES = list(METHODS)


def planned(name, steps=30, width=8, tolerance=5e-3, **others):
    stopping, circumstances = Stopping(tolerance), Circumstances(width)
    return planner.plan(name, new_methods(), steps, stopping, circumstances, **others)


def taken(trajectory, rounds):
    """The trajectory after some rounds; one evaluation a call, since the size of a batch may change the last bit."""
    model = Mixture()
    for _ in range(rounds):
        chosen = trajectory.ready()[:8]
        if not chosen:
            break
        outputs = [model.output(e.x[None], torch.tensor([e.timestep])) for e in chosen]
        trajectory.take(chosen, torch.cat(outputs))
    return trajectory


@pytest.mark.parametrize("name", NAMES)
def test_a_method_its_plans_and_its_trajectories_have_the_name_of_its_row(name):
    plan = planned(name)
    trajectory = plan.start(solver(30), noise(), Stopping(5e-3))
    assert METHODS[name].name == plan.method == trajectory.method == name
    assert trajectory.checkpoint().description["method"] == name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [1, 2, 30])
def test_with_tolerance_0_every_method_gives_the_serial_image(name, steps):
    exact = run(Mixture(), Parareal(solver(steps), noise(), blocks=1), 1)[-1].sample
    plan = planned(name, steps, tolerance=0.0)
    trajectory = plan.start(solver(steps), noise(), Stopping(0.0))
    iterates = run(Mixture(), trajectory, 8)
    assert relative_error(iterates[-1].sample, exact) < 1e-6
    assert trajectory.status is Status.EXACT
    assert iterates[-1].error_estimate == 0
    assert all(iterate.error_estimate != 0 for iterate in iterates[:-1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rounds", [1, 5, 9])
def test_a_plan_resumes_the_checkpoints_of_its_trajectories(name, rounds):
    stopping = Stopping(5e-3)
    plan = planned(name)
    whole = taken(plan.start(solver(30), noise(), stopping), 100)
    half = taken(plan.start(solver(30), noise(), stopping), rounds)
    saved = Checkpoint.from_bytes(half.checkpoint().to_bytes())
    resumed = planned(name, checkpoint=saved).resume(solver(30), saved, stopping)
    assert resumed.method == name
    assert (resumed.rounds, resumed.evaluations) == (half.rounds, half.evaluations)
    taken(resumed, 100)
    assert torch.equal(resumed.newest.sample, whole.newest.sample)
    assert (resumed.rounds, resumed.evaluations, resumed.status) == (whole.rounds, whole.evaluations, whole.status)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tolerance", [0.0, 5e-3])
def test_an_image_that_was_finished_is_resumed_as_finished(name, tolerance):
    """A worker may die between the last checkpoint and the job's end."""
    stopping = Stopping(tolerance)
    whole = taken(planned(name, tolerance=tolerance).start(solver(30), noise(), stopping), 100)
    saved = Checkpoint.from_bytes(whole.checkpoint().to_bytes())
    resumed = planned(name, checkpoint=saved).resume(solver(30), saved, stopping)
    assert resumed.status is whole.status
    assert torch.equal(resumed.newest.sample, whole.newest.sample)
    assert resumed.ready() == []


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_has_the_newest_iterate_with_its_figures(name):
    trajectory = taken(planned(name, 40).start(solver(40), noise(), Stopping(5e-3)), 12)
    assert trajectory.newest is not None
    trajectory.newest = replace(trajectory.newest, residual=0.25, error_estimate=0.125)
    saved = Checkpoint.from_bytes(trajectory.checkpoint().to_bytes())
    resumed = planned(name, 40, checkpoint=saved).resume(solver(40), saved, Stopping(5e-3))
    assert torch.equal(resumed.newest.sample, trajectory.newest.sample)
    figures = [
        (i.number, i.residual, i.error_estimate, i.rounds, i.evaluations) for i in (resumed.newest, trajectory.newest)
    ]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_a_version_without_estimates_is_resumed(name):
    trajectory = taken(planned(name, 40).start(solver(40), noise(), Stopping(5e-3)), 12)
    saved = trajectory.checkpoint()
    description = {key: value for key, value in saved.description.items() if key != "error_estimate"}
    description["version"] = 3  # as release 0.1 wrote it
    old = Checkpoint.from_bytes(Checkpoint(saved.tensors, description).to_bytes())
    resumed = planned(name, 40, checkpoint=old).resume(solver(40), old, Stopping(5e-3))
    assert torch.equal(resumed.newest.sample, trajectory.newest.sample)
    assert resumed.newest.error_estimate is None


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_another_method_is_refused(name):
    plan = planned(name)
    saved = plan.start(solver(30), noise(), Stopping()).checkpoint()
    other = Checkpoint(saved.tensors, saved.description | {"method": "other"})
    with pytest.raises(InvalidCheckpoint, match="other"):
        plan.resume(solver(30), other, Stopping())
    with pytest.raises(InvalidCheckpoint, match="other"):
        planned("auto", checkpoint=other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cost", [flat, guess])
def test_candidates_for_auto_state_what_they_expect(name, cost):
    method = METHODS[name]()
    tolerance = 1e-2 if name == "collocation" else 0.0
    found = list(method.candidates(50, Stopping(tolerance), Circumstances(8, cost)))
    for candidate in found:
        assert candidate.plan.method == name
        assert 0 < candidate.time <= 50 + candidate.plan.blocks
        assert candidate.plan.rounds <= candidate.evaluations <= 50 * 8
    assert found


def test_a_method_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match=f"no method best: choose one of {', '.join(['auto', *METHODS])}"):
        planned("best")


def test_auto_with_blocks_is_the_method_that_takes_them():
    assert planned("auto", blocks=6) == planned("srds", blocks=6)


def test_an_engine_learns_from_the_iterates_of_srds_and_from_no_other_ones():
    engine = Engine(Mixture(), 16)
    before = engine.methods["srds"].convergence.first
    for name in ("serial", "collocation"):
        engine.add(planned(name).start(solver(30), noise(), Stopping(5e-3)), Unconditional())
    while engine.active:
        engine.round()
    assert engine.methods["srds"].convergence.first == before

    trajectory = Parareal(solver(30), noise(), blocks=5)
    engine.add(trajectory, Unconditional())
    residuals = []
    while engine.active:
        residuals += [i.residual for p in engine.round() for i in p.iterates]
    learned, rate = engine.methods["srds"].convergence, 0.2
    assert learned.first == pytest.approx(before * (residuals[1] / before) ** rate)
    expected = 0.1
    for earlier, later in pairwise(residuals[1:]):
        expected *= (min(later / earlier, 0.9) / expected) ** rate if later > 0 else 1.0
    assert learned.contraction == pytest.approx(expected)
