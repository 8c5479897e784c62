"""What an engine learns from the residuals of SRDS, and what `auto` makes of it."""

from itertools import pairwise

import pytest

from sampler import Circumstances, Engine, Parareal, Status, Stopping, planner
from sampler.methods.srds.convergence import Convergence, expected_iterates
from tests.sampler.problems import Mixture, Unconditional, noise, solver

TOLERANCE = 5e-3


def observe(convergence, residuals):
    """One image's residuals, of iterates 1, 2, ..."""
    convergence.observe(1, residuals[0], None)
    for number, (before, now) in enumerate(pairwise(residuals), 2):
        convergence.observe(number, now, before)


def test_one_image_that_converges_badly_does_not_change_what_is_expected():
    seen = Convergence()
    observe(seen, [0.1, 0.03])
    assert expected_iterates(4e-4, seen) == expected_iterates(4e-4) == 3


@pytest.mark.parametrize(("ratio", "iterates"), [(0.02, 2), (0.3, 3), (0.5, 5)])
def test_many_images_that_converge_alike_are_what_is_expected(ratio, iterates):
    seen = Convergence()
    for _ in range(30):
        observe(seen, [0.1, 0.1 * ratio, 0.1 * ratio**2])
    assert seen.first == pytest.approx(0.1, rel=0.01)
    assert seen.contraction == pytest.approx(ratio, rel=0.01)
    assert expected_iterates(TOLERANCE, seen) == iterates


def test_what_was_seen_is_forgotten_when_newer_images_differ():
    seen = Convergence()
    for first in (0.5, 0.01):
        for _ in range(30):
            observe(seen, [first, first / 10])
    assert seen.first == pytest.approx(0.01, rel=0.01)


def test_residuals_that_grow_are_expected_to_converge_late_but_to_converge():
    seen = Convergence()
    for _ in range(50):
        observe(seen, [0.1, 0.2, 0.4])
    assert 20 < expected_iterates(TOLERANCE, seen) < 50


def test_an_image_that_does_not_change_any_more_teaches_nothing():
    seen = Convergence()
    observe(seen, [0.0, 0.0])
    seen.observe(2, 0.0, 0.1)
    seen.observe(2, 0.1, 0.0)
    assert seen == Convergence()


def test_an_engine_learns_from_every_iterate_of_its_srds_images():
    engine = Engine(Mixture(), 16)
    seen = Convergence()
    for seed in range(3):
        trajectory = Parareal(solver(40), noise(seed), blocks=8, tolerance=1e-5)
        engine.add(trajectory, Unconditional())
        residuals = []
        while engine.active:
            residuals += [each.residual for progress in engine.round() for each in progress.iterates]
        assert trajectory.status is Status.CONVERGED
        assert residuals[0] is None  # the coarse solution
        assert len(residuals) > 2
        observe(seen, residuals[1:])
    assert engine.methods["srds"].convergence == seen != Convergence()


def test_what_one_engine_has_learned_makes_its_plans_longer_and_no_others():
    taught, other = Engine(Mixture(), 16), Engine(Mixture(), 16)

    def draft(engine):
        return planner.choose(engine.methods, 100, Stopping(TOLERANCE, max_iterations=8), Circumstances(16))

    before = draft(taught)
    for _ in range(30):
        observe(taught.methods["srds"].convergence, [0.1, 0.03, 0.01, 0.003])
    assert draft(taught).rounds > before.rounds
    assert draft(other) == before


def test_an_engine_learns_from_several_iterates_of_one_round():
    engine = Engine(Mixture(), 4)
    engine.add(Parareal(solver(9), noise(), blocks=5), Unconditional())
    rounds = []
    while engine.active:
        rounds += [progress.iterates for progress in engine.round() if progress.iterates]
    assert max(map(len, rounds)) > 1
    seen = Convergence()
    observe(seen, [each.residual for iterates in rounds for each in iterates][1:])
    assert engine.methods["srds"].convergence == seen != Convergence()
