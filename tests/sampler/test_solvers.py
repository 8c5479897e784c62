"""Every solver, on every noise process, against the diffusers scheduler that it stands for; and Parareal over it."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.schedulers import scheduling_ddpm
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler import (
    DDIM,
    Checkpoint,
    Collocation,
    DPMSolver,
    Grid,
    Heun,
    Parareal,
    Status,
    Stochastic,
    ddpm_grid,
    doubled,
    sigma_grid,
)
from sampler.solvers import SOLVERS, UniPC
from sampler.solvers.base import output_for_x0, predictions
from sampler.solvers.stochastic import ddim_variance, ddpm_variance, step_noise
from tests.sampler.problems import SHAPE, noise, relative_error, run
from tests.sampler.processes import CASES, Network, diffusers_loop

NUMBERS = {name: [13] if "dynamic" in name else [7, 13, 20] for name in CASES}
# diffusers' schedulers under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


def made(name, steps):
    case = CASES[name]
    scheduler = case.theirs()
    return Network(scheduler, case.prediction), case.ours(scheduler, steps), scheduler


@pytest.fixture
def ddpm_noise(monkeypatch):
    """DDPMScheduler draws its noise itself: let it draw ours, a step after the other."""
    drawn = iter(range(10**6))
    monkeypatch.setattr(
        scheduling_ddpm, "randn_tensor", lambda shape, **_: step_noise(5, next(drawn), torch.Size(SHAPE))[None]
    )


def test_the_solvers_that_take_no_flow_model():
    assert {name for name, kind in SOLVERS.items() if not kind.flow} == {"ddim", "ddpm"}


@pytest.mark.usefixtures("ddpm_noise")
@pytest.mark.parametrize(("name", "steps"), [(name, n) for name, numbers in NUMBERS.items() for n in numbers])
def test_the_serial_sampler_is_the_loop_of_the_diffusers_scheduler(name, steps):
    network, solver, scheduler = made(name, steps)
    network = replace(network, spread=0.5)  # else an error in a step hardly changes the last sample
    expected = diffusers_loop(scheduler, network, steps, **CASES[name].arguments)
    ours = run(network, Parareal(solver, noise(), blocks=1), 1)[-1]
    assert relative_error(ours.sample, expected) < 1e-5


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("blocks", [4, 13])
def test_run_to_the_last_block_it_is_the_serial_solution(name, blocks):
    network, solver, _ = made(name, 13)
    serial = run(network, Parareal(solver, noise(), blocks=1), 1)[-1]
    parareal = Parareal(solver, noise(), blocks=blocks)
    iterates = run(network, parareal, 7)
    assert iterates[-1].number == blocks
    assert relative_error(iterates[-1].sample, serial.sample) < 1e-5


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(["euler-karras", "flow-shift", "dpm++", "heun", "ddim-eta-1"]), st.integers(1, 20), st.data())
def test_any_blocks_and_width_end_in_the_serial_solution(name, steps, data):
    network, solver, _ = made(name, steps)
    blocks = data.draw(st.integers(1, solver.grid.steps))
    serial = run(network, Parareal(solver, noise(), blocks=1), 1)[-1]
    exact = run(network, Parareal(solver, noise(), blocks=blocks), data.draw(st.integers(1, 12)))[-1]
    assert exact.number == blocks
    assert exact.rounds <= solver.grid.steps + blocks - 1
    assert relative_error(exact.sample, serial.sample) < 1e-5


@pytest.mark.parametrize("name", [name for name in CASES if "clip" not in name])  # whose map is not smooth
def test_iterates_converge_long_before_the_last_block(name):
    steps = 13 if "dynamic" in name else 48
    network, solver, _ = made(name, steps)
    serial = run(network, Parareal(solver, noise(), blocks=1), 1)[-1]
    errors = [relative_error(i.sample, serial.sample) for i in run(network, Parareal(solver, noise(), blocks=6), 10**9)]
    assert errors[4] < 0.05


@pytest.mark.parametrize("name", CASES)
def test_collocation_with_tolerance_0_is_the_serial_solution(name):
    network, solver, _ = made(name, 13)
    serial = run(network, Parareal(solver, noise(), blocks=1), 1)[-1]
    collocation = Collocation(solver, noise(), width=5, tolerance=0.0)
    assert relative_error(run(network, collocation, 5)[-1].sample, serial.sample) < 1e-5
    assert collocation.status is Status.EXACT


@pytest.mark.parametrize("name", CASES)
def test_collocation_comes_close_to_the_serial_solution_in_fewer_rounds(name):
    network, solver, _ = made(name, 13 if "dynamic" in name else 60)
    serial = run(network, Parareal(solver, noise(), blocks=1), 1)[-1]
    collocation = Collocation(solver, noise(), width=8, tolerance=0.02)
    iterates = run(network, collocation, 8)
    if solver.linear is None:
        assert collocation.rounds == solver.grid.steps
    elif not solver.linear.noisy:  # whose late noise can change the mode of these problems
        assert relative_error(iterates[-1].sample, serial.sample) < 0.02
        assert collocation.rounds < 0.75 * solver.grid.steps


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "velocity", "sample"])
def test_a_prediction_splits_the_sample_into_image_and_noise(kind):
    alpha, sigma = (0.4, 0.6) if kind == "velocity" else (0.6, 0.8)
    image, eps = (torch.randn(2, 3, generator=torch.Generator().manual_seed(n)).double() for n in (1, 2))
    x = alpha * image + sigma * eps
    outputs = {"epsilon": eps, "v_prediction": alpha * eps - sigma * image, "velocity": eps - image, "sample": image}
    x0, noise = predictions(x, outputs[kind], alpha, sigma, kind)
    torch.testing.assert_close(x0, image)
    torch.testing.assert_close(noise, eps)
    torch.testing.assert_close(output_for_x0(image, x, alpha, sigma, kind), outputs[kind])


def cosine(steps):
    """A smooth variance-preserving grid, from nearly pure noise to a little of it."""
    angle = torch.linspace(1.4, 0.3, steps + 1, dtype=torch.float64)
    alpha, sigma = angle.cos(), angle.sin()
    return Grid(torch.arange(steps).double(), alpha[:-1], sigma[:-1], alpha[1:], sigma[1:])


def straight(steps):
    """A flow-matching grid."""
    sigma = torch.linspace(0.95, 0.05, steps + 1, dtype=torch.float64)
    return Grid(torch.arange(steps).double(), 1 - sigma[:-1], sigma[:-1], 1 - sigma[1:], sigma[1:])


class Gaussian:
    """Exact predictions for data ~ N(0.5, 0.3^2), in float64; the probability-flow ODE has a closed solution.

    x(t) = alpha m + sqrt(alpha^2 c^2 + sigma^2) k, with k constant along a trajectory.
    """

    mean, spread = 0.5, 0.3

    def output(self, x, alpha, sigma, prediction):
        variance = alpha**2 * self.spread**2 + sigma**2
        x0 = self.mean + alpha * self.spread**2 / variance * (x - alpha * self.mean)
        eps = (x - alpha * x0) / sigma
        return eps - x0 if prediction == "velocity" else eps

    def solution(self, x, grid):
        def scale(alpha, sigma):
            return (alpha**2 * self.spread**2 + sigma**2) ** 0.5

        k = (x - grid.alpha[0] * self.mean) / scale(grid.alpha[0], grid.sigma[0])
        return grid.alpha_to[-1] * self.mean + scale(grid.alpha_to[-1], grid.sigma_to[-1]) * k

    def follow(self, solver):
        """The serial solution of a solver, in float64."""
        grid = solver.grid
        state = solver.initial(noise())[None].double()
        for i in range(grid.steps):
            output = self.output(state[:, 0], float(grid.alpha[i]), float(grid.sigma[i]), solver.prediction)
            state = solver.step(state, output, torch.tensor([i]), torch.tensor([i + 1]))
        return state[0, 0]


@pytest.mark.parametrize(
    ("make", "order"),
    [
        (lambda n: DDIM(cosine(n)), 1),
        (lambda n: DDIM(straight(n), "velocity"), 1),
        (lambda n: DPMSolver(cosine(n), lower_order_final=False), 2),
        (lambda n: DPMSolver(cosine(n), order=1), 1),
        (lambda n: DPMSolver(straight(n), "velocity", lower_order_final=False), 2),
        (lambda n: Heun(doubled(cosine(n))), 2),
        (lambda n: Heun(doubled(straight(n)), "velocity"), 2),
        (lambda n: UniPC(cosine(n), lower_order_final=False), 3),
        (lambda n: UniPC(straight(n), "velocity", lower_order_final=False, exponential=False), 3),
    ],
    ids=["ddim", "euler-flow", "dpm++", "dpm++-first", "dpm++-flow", "heun", "heun-flow", "unipc", "unipc-flow-bh1"],
)
def test_order_of_accuracy(make, order):
    problem, steps = Gaussian(), [64, 128, 256, 512]
    errors = []
    for n in steps:
        solver = make(n)
        errors.append(float((problem.follow(solver) - problem.solution(noise().double(), solver.grid)).norm()))
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert slopes[-1] == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_the_distribution_of_stochastic_samples_is_reached_at_first_order(eta):
    """The problem is linear: what becomes of the variance follows from what a step makes of 1 and of 0."""
    problem, gaps = Gaussian(), []
    for n in (64, 128, 256, 512):
        grid = cosine(n)
        direction, spread = ddim_variance(grid, eta)
        solver = Stochastic(grid, direction, torch.zeros_like(spread))
        variance = float(grid.alpha[0] ** 2 * problem.spread**2 + grid.sigma[0] ** 2)
        for i in range(n):
            x = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None, None, None]
            output = problem.output(x[:, 0], float(grid.alpha[i]), float(grid.sigma[i]), "epsilon")
            zero, one = solver.step(x, output, torch.tensor([i, i]), torch.tensor([i + 1, i + 1])).flatten().tolist()
            variance = (one - zero) ** 2 * variance + float(spread[i]) ** 2
        gaps.append(abs(variance - float(grid.alpha_to[-1] ** 2 * problem.spread**2 + grid.sigma_to[-1] ** 2)))
    assert math.log2(gaps[-2] / gaps[-1]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_coarse_stochastic_step_is_the_fine_steps_with_the_image_held(eta):
    """Where the network always sees the same image, both are the same, noise included."""
    grid, image = cosine(12), noise(9)[None]
    solver = Stochastic(grid, *ddim_variance(grid, eta), 5, "sample")
    start = noise()[None, None]
    state = start
    for i in range(3, 10):
        state = solver.step(state, image, torch.tensor([i]), torch.tensor([i + 1]))
    coarse = solver.step(start, image, torch.tensor([3]), torch.tensor([10]))
    assert relative_error(coarse, state) < 1e-5


def test_step_noise_depends_on_seed_and_step_alone():
    shape = torch.Size((4, 8, 8))
    drawn = {(seed, point): step_noise(seed, point, shape) for seed in (0, 1, 2**32 - 1) for point in (0, 1, 999)}
    assert torch.equal(step_noise(1, 999, shape), drawn[1, 999])
    values = torch.stack(list(drawn.values())).flatten(1)
    correlation = torch.corrcoef(values) - torch.eye(len(values))
    assert correlation.abs().max() < 0.3  # five standard deviations for 256 values


def test_eta_0_is_ddim():
    grid = cosine(8)
    solver = Stochastic(grid, *ddim_variance(grid, 0.0), 5)
    x, output = noise()[None, None], noise(1)[None]
    for end in (1, 5):
        expected = DDIM(grid).step(x, output, torch.tensor([0]), torch.tensor([end]))
        assert relative_error(solver.step(x, output, torch.tensor([0]), torch.tensor([end])), expected) < 1e-6


def test_a_variance_that_the_network_predicts_is_refused():
    scheduler = DDPMScheduler(variance_type="learned_range")
    with pytest.raises(ValueError, match="learned_range is not supported"):
        ddpm_variance(scheduler, ddpm_grid(scheduler, 10))


def test_more_steps_than_the_scheduler_has_points_are_refused():
    scheduler = CASES["dpm++"].theirs()
    with pytest.raises(ValueError, match="fewer steps"):
        sigma_grid(scheduler, 1000)


@pytest.mark.parametrize("name", ["dpm++", "heun", "ddim-eta-1"])
def test_a_checkpoint_carries_the_history_and_the_noise(name):
    network, solver, _ = made(name, 13)
    whole = Parareal(solver, noise(), blocks=4)
    run(network, whole, 5)
    draft = Parareal(solver, noise(), blocks=4, max_iterations=2)
    run(network, draft, 5)
    resumed = Parareal.resume(solver, Checkpoint.from_bytes(draft.checkpoint().to_bytes()))
    run(network, resumed, 5)
    assert relative_error(resumed.newest.sample, whole.newest.sample) < 1e-6
