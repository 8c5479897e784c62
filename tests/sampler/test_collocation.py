"""Collocation: its linear algebra, and trajectories against the serial sampler."""

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler import DDIM, Checkpoint, DPMSolver, Engine, Serial, Status, Stochastic, ddpm_grid, doubled, sigma_grid
from sampler.methods.collocation.collocation import Collocation
from sampler.methods.collocation.nodes import coordinate, influence, interpolation, response, solve, spread, states
from sampler.solvers import Heun, LinearForm, Solver
from sampler.solvers.base import output_for_x0
from sampler.solvers.stochastic import ddpm_variance
from tests.sampler.problems import Mixture, Unconditional, noise, relative_error, run, solver

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
DDPM = DDPMScheduler(**BETAS, clip_sample=False)


def ddpm(steps: int, clip: float | None = None) -> Stochastic:
    grid = ddpm_grid(DDPM, steps)
    return Stochastic(grid, *ddpm_variance(DDPM, grid), 3, clip=clip, consistent=True)


def dpm(steps: int, **options) -> DPMSolver:
    return DPMSolver(solver(steps).grid, **options)


def flow(steps: int) -> DDIM:
    return DDIM(sigma_grid(FlowMatchEulerDiscreteScheduler(shift=3.0), steps), "velocity")


def linear(made: Solver) -> LinearForm:
    assert made.linear
    return made.linear


@pytest.mark.parametrize(
    "made", [solver(12), flow(12), dpm(12), dpm(12, lower_order_final=False), dpm(12, order=1), ddpm(12), ddpm(12, 1.0)]
)
def test_the_linear_form_is_the_solvers_own_steps(made):
    grid, form = made.grid, linear(made)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(grid.steps, 1, 3, 3, generator=generator).clamp(-1, 1)
    start = torch.randn(1, 3, 3, generator=generator)
    state = made.initial(start)
    for i, image in enumerate(images):
        output = image
        if grid.alpha[i] > 0:
            alpha, sigma = grid.departs[i]
            output = output_for_x0(image, state[0], alpha, sigma, made.prediction)
        state = made.step(state[None], output[None], torch.tensor([i]), torch.tensor([i + 1]))[0]
    known = response(form)
    combined = known.phi[-1] * made.initial(start)[0].double() + torch.tensordot(
        torch.tensor(known.psi[-1]), images.double(), 1
    )
    if form.noisy:
        combined += Collocation(made, start, width=1, tolerance=0.1)._noise_at(grid.steps)
    assert relative_error(state[0], combined) < 1e-4


def test_a_polynomial_of_its_order_is_interpolated_exactly():
    at = coordinate(solver(40).grid)
    nodes = np.array(spread(at, 9))
    for order in (1, 2, 3):
        weights = interpolation(at, nodes, order, 0.5)
        assert np.allclose(weights @ at[nodes] ** order, at**order)
    assert np.allclose(weights[nodes], np.eye(len(nodes)))
    assert not np.allclose(interpolation(at, nodes, 2, 0.5) @ at[nodes] ** 3, at**3)


def test_beyond_the_last_node_a_part_of_the_trend_is_continued_for_one_gap():
    at = np.linspace(0, 1, 11)
    beyond = interpolation(at, np.array([0, 2, 4]), 3, 0.5) @ at[[0, 2, 4]]
    assert np.allclose(beyond[4:], [0.4, 0.45, 0.5, 0.5, 0.5, 0.5, 0.5])


def test_the_coordinate_rises_from_0_to_1_also_from_pure_noise():
    for made in (solver(30), flow(30), solver(1000), solver(2)):
        at = coordinate(made.grid)
        assert (at[0], at[-1]) == pytest.approx((0, 1))
        assert (np.diff(at) > 0).all()
        assert spread(at, 8)[0] == 0
        assert spread(at, 8)[-1] == len(at) - 1


def test_the_displacements_solve_the_equations():
    """A network that answers linearly, D(z) = a + s z, is solved without an error by one evaluation of every point."""
    made, generator = solver(20), np.random.default_rng(0)
    form = linear(made)
    known, at = response(form), coordinate(made.grid)
    nodes = np.arange(20)
    slopes, shift, y = generator.uniform(-0.5, 0.5, 20), generator.normal(size=20), generator.normal(size=20)
    weights = interpolation(at, nodes, 3, 0.5)
    system = solve(known, nodes, weights, slopes)
    tensors = np.concatenate([[1.7], shift + slopes * y, y])
    x = 1.7
    for i in range(20):
        assert states(known, system, np.array([i]))[0] @ tensors == pytest.approx(x)
        assert (y + system.displaced @ tensors)[i] == pytest.approx(x)
        keep, gain = float(form.keep[i]), float(form.gain[i])
        x = keep * x + gain * (shift[i] + slopes[i] * x)
    assert states(known, system, np.array([20]))[0] @ tensors == pytest.approx(x)


def test_the_influence_is_the_images_derivative():
    made = solver(15)
    form, slopes = linear(made), np.linspace(0, 0.9, 15)
    known = response(form)
    found = influence(known, np.arange(15), np.eye(15), slopes)
    for point in (0, 7, 14):
        x = 0.0
        for i in range(15):
            x = float(form.keep[i]) * x + float(form.gain[i]) * ((i == point) + slopes[i] * x)
        assert found[point] == pytest.approx(x)


def exact(made, seed=0):
    return run(Mixture(), Serial(made, noise(seed)), 1)[-1].sample


@pytest.mark.parametrize("made", [solver(200), dpm(200)])
@pytest.mark.parametrize("width", [1, 4, 32])
def test_far_fewer_evaluations_than_steps_give_the_image_within_the_tolerance(made, width):
    for seed in range(3):
        trajectory = Collocation(made, noise(seed), width=width, tolerance=1e-2)
        iterates = run(Mixture(), trajectory, width)
        assert trajectory.status is Status.CONVERGED
        assert relative_error(iterates[-1].sample, exact(made, seed)) < 1e-2
        estimates = [iterate.error_estimate or 0.0 for iterate in iterates]
        assert 0 < estimates[-1] <= 1e-2
        assert trajectory.evaluations < (30 if width == 1 else 140)
        assert trajectory.rounds < (30 if width == 1 else 12)
        assert estimates[:-1] == sorted(estimates[:-1], reverse=True)
        assert len(iterates) > 1 or width == 32


def test_a_tighter_tolerance_gives_a_smaller_error():
    errors = []
    for tolerance in (1e-1, 3e-3, 3e-4):
        trajectory = Collocation(solver(200), noise(), width=4, tolerance=tolerance)
        errors.append(relative_error(run(Mixture(), trajectory, 4)[-1].sample, exact(solver(200))))
    assert errors[0] > errors[1] > errors[2]


def test_the_fixed_noise_of_a_stochastic_solver_is_kept():
    trajectory = Collocation(ddpm(100), noise(), width=4, tolerance=2e-2)
    assert relative_error(run(Mixture(), trajectory, 4)[-1].sample, exact(ddpm(100))) < 6e-2


def test_the_image_does_not_depend_on_the_room_in_the_engines_rounds():
    images = []
    for slots in (8, 3, 1):
        trajectory = Collocation(solver(100), noise(), width=8, tolerance=1e-2)
        images.append(run(Mixture(), trajectory, slots)[-1].sample)
    assert relative_error(images[1], images[0]) < 1e-5
    assert relative_error(images[2], images[0]) < 1e-5


@pytest.mark.parametrize("made", [Heun(doubled(solver(20).grid)), DDIM(solver(50).grid, clip=1.0), solver(4)])
def test_without_a_linear_form_or_a_gain_it_is_the_serial_sampler(made):
    trajectory = Collocation(made, noise(), width=1, tolerance=5e-3)
    iterates = run(Mixture(), trajectory, 4)
    assert trajectory.status is Status.EXACT
    assert torch.equal(iterates[-1].sample, exact(made))
    assert trajectory.evaluations == made.grid.steps


class Rough(Mixture):
    """A network that nothing can be interpolated for."""

    def output(self, x, timestep):
        return torch.sin(20 * x + timestep[:, None, None, None])


def test_what_does_not_converge_becomes_the_serial_sampler_in_the_end():
    made = solver(30)
    trajectory = Collocation(made, noise(), width=1, tolerance=5e-3)
    engine = Engine(Rough(), 1)
    engine.add(trajectory, Unconditional())
    while engine.active:
        engine.round()
    serial = run(Rough(), Serial(made, noise()), 1)[-1].sample
    assert trajectory.status in (Status.CONVERGED, Status.EXACT)
    assert relative_error(trajectory.newest.sample, serial) < 1e-2
    assert trajectory.evaluations <= 2 * 30


def test_what_does_not_converge_does_so_whatever_the_room_in_the_engines_rounds():
    images, evaluations = [], []
    for slots in (8, 3):
        trajectory = Collocation(solver(30), noise(), width=8, tolerance=5e-3)
        engine = Engine(Rough(), slots)
        engine.add(trajectory, Unconditional())
        while engine.active and trajectory.rounds < 500:
            engine.round()
        assert trajectory.status in (Status.CONVERGED, Status.EXACT)
        images.append(trajectory.newest.sample)
        evaluations.append(trajectory.evaluations)
    assert evaluations[0] == evaluations[1]
    assert relative_error(images[1], images[0]) < 1e-3


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([solver, dpm, ddpm]),
    st.integers(2, 60),
    st.integers(1, 9),
    st.sampled_from([0.0, 1e-3, 1e-1]),
    st.data(),
)
def test_resumed_from_any_round_it_gives_the_same_image(make, steps, width, tolerance, data):
    room = data.draw(st.integers(1, width))
    made, model = make(steps), Mixture()

    def finish(trajectory, limit=10**6):
        for _ in range(limit):
            offered = trajectory.ready()
            assert len(offered) <= width
            if not offered:
                break
            chosen = offered[:room]
            # One at a time: a batch of another size may round differently.
            outputs = [model.output(e.x[None], torch.tensor([e.timestep])) for e in chosen]
            trajectory.take(chosen, torch.cat(outputs))
        return trajectory

    whole = finish(Collocation(made, noise(), width=width, tolerance=tolerance))
    half = finish(
        Collocation(made, noise(), width=width, tolerance=tolerance), data.draw(st.integers(0, whole.rounds + 1))
    )
    saved = Checkpoint.from_bytes(half.checkpoint().to_bytes())
    resumed = finish(Collocation.resume(made, saved, width=width, tolerance=tolerance))
    assert resumed.status is whole.status
    assert resumed.newest.number == whole.newest.number
    # Fixed noise is summed in another order.
    assert relative_error(resumed.newest.sample, whole.newest.sample) < 1e-6
    # Of a wave that was not finished nothing is kept.
    assert whole.evaluations <= resumed.evaluations < whole.evaluations + width
    if tolerance == 0:
        assert torch.equal(whole.newest.sample, exact(made))


def test_a_converged_image_is_refined_from_its_checkpoint():
    coarse = Collocation(solver(200), noise(), width=4, tolerance=5e-2)
    run(Mixture(), coarse, 4)
    fine = Collocation.resume(solver(200), coarse.checkpoint(), width=4, tolerance=2e-3)
    assert fine.status is Status.RUNNING
    iterates = run(Mixture(), fine, 4)
    assert fine.evaluations > coarse.evaluations
    assert iterates[0].number == coarse.newest.number + 1
    assert relative_error(fine.newest.sample, exact(solver(200))) < 2e-3
    assert Collocation.resume(solver(200), fine.checkpoint(), width=4, tolerance=2e-3).status is Status.CONVERGED


@pytest.mark.parametrize(("name", "value"), [("width", 0), ("tolerance", -1.0), ("tolerance", float("nan"))])
def test_an_argument_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Collocation(solver(50), noise(), **({"width": 4, "tolerance": 5e-3} | {name: value}))
