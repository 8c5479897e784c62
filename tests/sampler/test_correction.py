"""The correction of Parareal where a plain coarse step answers too much."""

from dataclasses import dataclass

import pytest
import torch

from sampler import Parareal, Status
from sampler.methods.srds.correction import bounded, secant
from tests.sampler.problems import Mixture, Unconditional, noise, relative_error, run, scheduler, solver

UNBOUNDED = 10**9


@dataclass
class Stiff(Mixture):
    """eps = theta x / sigma: in y = x / alpha the flow to s' is (s' / s)^theta y, whatever y is."""

    theta: float = 3.0

    def output(self, x, timestep):
        sigma = (1 - scheduler().alphas_cumprod[timestep.long()]).sqrt()
        return self.theta * x / sigma[:, None, None, None].float()


@pytest.mark.parametrize("theta", [1.5, 3.0, 8.0])
@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.9])
def test_a_move_is_answered_as_the_flow_would(theta, ratio):
    displacement, scale = noise(1), 1.3
    euler = scale * displacement * (1 - theta * (1 - ratio))
    assert relative_error(bounded(euler, displacement, scale, ratio), scale * displacement) == pytest.approx(
        1 - ratio**theta
    )


@pytest.mark.parametrize("theta", [-2.0, 0.0, 0.5, 1.0])
def test_a_mild_answer_stays_as_it_is(theta):
    displacement = noise(1)
    euler = displacement * (1 - theta * (1 - 0.4))
    assert relative_error(bounded(euler, displacement, 1.0, 0.4), euler) < 1e-6


def test_only_the_part_of_an_answer_is_scaled_that_all_of_it_is():
    """Across the move it shrinks by as much as along it."""
    displacement = torch.zeros(1, 2, 2)
    displacement[0, 0, 0] = 1.0
    across = torch.zeros_like(displacement)
    across[0, 1, 1] = 1.0
    correction = bounded(displacement - 3 * (1 - 0.2) * (displacement + across), displacement, 1.0, 0.2)
    torch.testing.assert_close(correction, 0.2**3 * displacement - (1 - 0.2**3) * across)


def test_what_did_not_move_is_not_corrected():
    nothing = torch.zeros(2, 4, 4)
    assert torch.equal(bounded(nothing, nothing, 1.2, 0.5), nothing)
    assert float(secant(noise(1), noise(1), nothing)) == 1.0


def test_the_secant_is_what_the_fine_solve_made_of_the_move_and_bounded():
    before, predicted = noise(1), noise(2)
    assert float(secant(before + 0.7 * predicted, before, predicted)) == pytest.approx(0.7, rel=1e-5)
    assert float(secant(before - predicted, before, predicted)) == pytest.approx(0.2)
    assert float(secant(before + 9 * predicted, before, predicted)) == pytest.approx(1.5)


@pytest.mark.parametrize("method", ["plain", "secant"])
def test_a_stiff_problem_gets_worse_only_with_the_plain_correction(method):
    model = Stiff()
    serial = run(model, Parareal(solver(50), noise(), blocks=1), 1)[-1]
    trajectory = Parareal(solver(50), noise(), blocks=7, correction=method)
    errors = [relative_error(iterate.sample, serial.sample) for iterate in run(model, trajectory, UNBOUNDED)]
    assert trajectory.status is Status.EXACT
    assert errors[-1] < 1e-5
    # The last iterate is shown even if it is worse than the one before.
    second = run(model, Parareal(solver(50), noise(), blocks=7, correction=method, max_iterations=2), UNBOUNDED)[-1]
    assert second.number == 2
    error = relative_error(second.sample, serial.sample)
    assert (error > errors[0]) == (method == "plain")
    if method == "secant":
        assert error < errors[0] / 20


def test_an_iterate_that_moves_as_far_as_the_one_before_is_shown_if_its_estimate_is_lower():
    one, two = run(Stiff(), Parareal(solver(50), noise(), blocks=10, correction="plain"), UNBOUNDED)[1:3]
    assert (one.number, two.number) == (1, 2)
    assert (two.residual or 0.0) > 0.7 * (one.residual or 0.0) > 0
    assert 0 < (two.error_estimate or 0.0) < (one.error_estimate or 0.0)


def test_under_strong_guidance_the_shipped_model_converges(emoji):
    condition = emoji.encode("pizza", "", 7.5)
    start = emoji.noise(3, 64, 64)

    def errors(method):
        trajectories = [
            Parareal(emoji.solver(25), start, blocks=1),
            Parareal(emoji.solver(25), start, blocks=5, max_iterations=2, correction=method),
        ]
        samples = [run(Conditioned(emoji, condition), trajectory, 5) for trajectory in trajectories]
        return [relative_error(iterate.sample, samples[0][-1].sample) for iterate in samples[1]]

    plain, ours = errors("plain"), errors("secant")
    assert ours[0] == plain[0]
    assert ours[2] < plain[2] / 3
    assert ours[2] < ours[1] < ours[0]


@dataclass
class Conditioned:
    """A model that is always asked under one condition."""

    model: object
    condition: object

    def denoise(self, x, timestep, conditions):
        assert all(isinstance(condition, Unconditional) for condition in conditions)
        return self.model.denoise(x, timestep, [self.condition] * len(x))
