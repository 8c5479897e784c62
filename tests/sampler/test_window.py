"""The sliding window: exact with tolerance 0, never slower than serial, resumable."""

import gc
import math
import weakref
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler import DDIM, Checkpoint, DPMSolver, Engine, Grid, InvalidCheckpoint, Parareal, Status, Window
from sampler.methods.window.sweep import Sweep, slope
from sampler.methods.window.window import crowded
from tests.sampler.problems import Mixture, Unconditional, noise, relative_error, run, solver

KINDS = ["epsilon", "v_prediction", "sample"]


def serial(model, steps, seed=0):
    trajectory = Parareal(solver(steps, prediction_type=model.prediction), noise(seed), blocks=1)
    return run(model, trajectory, 1)[-1].sample


def window(model, steps, seed=0, **arguments):
    return Window(solver(steps, prediction_type=model.prediction), noise(seed), **arguments)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize(("steps", "width"), [(1, 1), (2, 8), (25, 1), (25, 4), (40, 16), (30, 100)])
def test_tolerance_0_is_the_serial_solution(kind, preview, steps, width):
    model = Mixture(kind)
    trajectory = window(model, steps, width=width, preview=preview)
    iterates = run(model, trajectory, width)
    assert trajectory.status is Status.EXACT
    assert trajectory.deviation == 0
    assert relative_error(iterates[-1].sample, serial(model, steps)) < 1e-6


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 20), st.floats(0, 0.5), st.booleans(), st.integers(1, 20))
def test_never_slower_than_serial_whatever_the_width_that_the_engine_leaves_it(steps, width, tolerance, preview, slots):
    model = Mixture()
    trajectory = window(model, steps, width=width, tolerance=tolerance, preview=preview)
    iterates = run(model, trajectory, slots)
    coarse = len(trajectory.edges) - 1 if preview else 0
    assert trajectory.rounds <= steps + max(0, coarse - 1)
    assert trajectory.deviation <= tolerance
    assert trajectory.status is (Status.EXACT if trajectory.deviation == 0 else Status.CONVERGED)
    assert max(model.calls) <= min(width, slots)
    assert [iterate.number for iterate in iterates] == list(range(len(iterates)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_tolerance_saves_rounds_and_the_error_goes_down_with_it(kind):
    model = Mixture(kind)
    expected = serial(model, 100)
    errors, rounds = [], []
    for tolerance in (0.1, 0.02, 0.004):
        trajectory = window(model, 100, width=8, tolerance=tolerance, preview=False)
        errors.append(relative_error(run(model, trajectory, 8)[-1].sample, expected))
        rounds.append(trajectory.rounds)
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.01
    assert rounds[1] < 40


def test_previews_are_whole_images():
    model = Mixture()
    expected = serial(model, 100)
    trajectory = window(model, 100, width=8, tolerance=0.01)
    iterates = run(model, trajectory, 8)
    assert len(iterates) >= 4
    assert iterates[0].rounds <= len(trajectory.edges) - 1
    errors = [relative_error(iterate.sample, expected) for iterate in iterates]
    assert max(errors) < 0.05
    assert errors[-1] < 0.01
    assert [iterate.residual is None for iterate in iterates] == [True] + [False] * (len(iterates) - 1)


def test_the_fine_sweep_takes_the_room_that_the_coarse_one_leaves():
    model = Mixture()
    alone = window(model, 100, width=16, tolerance=0.01)
    together = window(model, 100, width=16, tolerance=0.01, preview_first=False)
    first, also_first = run(model, alone, 16)[0], run(model, together, 16)[0]
    exact = serial(model, 100)
    assert first.rounds == also_first.rounds
    # It is what can be told from both sweeps, of which the fine one has already begun.
    assert also_first.evaluations > first.evaluations
    assert relative_error(also_first.sample, exact) < 0.05
    assert together.rounds <= alone.rounds - first.rounds + 2
    assert relative_error(together.newest.sample, exact) < 0.01


def test_a_fine_sweep_that_overtakes_the_coarse_one_does_not_wait_for_its_picture():
    model = Mixture()
    trajectory = window(model, 60, width=30, tolerance=0.05, preview_first=False)
    iterates = run(model, trajectory, 30)
    coarse = len(trajectory.edges) - 1  # rounds, one point each
    assert iterates[0].rounds < coarse / 2
    assert [iterate.number for iterate in iterates] == list(range(len(iterates)))
    errors = [relative_error(iterate.sample, serial(model, 60)) for iterate in iterates]
    assert errors == sorted(errors, reverse=True)
    assert len(iterates) <= 6  # four parts, the coarse grid's, and the image


def test_points_that_a_busy_engine_does_not_ask_for_are_not_predicted():
    class Counting(DDIM):
        steps = 0

        def step(self, state, output, start, end):
            Counting.steps += len(state)
            return super().step(state, output, start, end)

    def steps(width, room):
        """Of the solver, for each evaluation, with so much room in every round."""
        Counting.steps = 0
        trajectory = Window(Counting(solver(60).grid), noise(0), width=width, tolerance=0, preview=False)
        run(Mixture(), trajectory, room)
        return Counting.steps / trajectory.evaluations

    assert steps(32, 1) == steps(1, 1) == 1
    assert 1 < steps(32, 8) == steps(8, 8)


def test_a_window_that_gains_nothing_becomes_narrow_and_a_good_one_wide_again():
    class Stubborn(Mixture):
        """Half of the way its noise cannot be foreseen."""

        def output(self, x, timestep):
            bumps = torch.sin(1e4 * x) if float(timestep.min()) > 500 else 0.0
            return super().output(x, timestep) + 0.3 * bumps

    model = Stubborn()
    trajectory = window(model, 100, width=8, tolerance=0.01, cost=lambda width: 1 + 0.5 * (width - 1))
    run(model, trajectory, 8)
    fine = model.calls[len(trajectory.edges) :]
    assert 1 in fine[:20]
    assert 8 in fine[20:]
    assert relative_error(trajectory.newest.sample, serial(model, 100)) < 0.05


@given(st.integers(1, 200), st.integers(1, 40))
def test_crowded_blocks_grow_shorter_towards_the_image(steps, blocks):
    blocks = min(steps, blocks)
    lengths = crowded(steps, blocks)
    assert (len(lengths), sum(lengths)) == (blocks, steps)
    assert all(late <= early + 1 for early, late in pairwise(lengths))
    assert min(lengths) >= 1


def test_windows_and_srds_share_rounds():
    model = Mixture()
    engine = Engine(model, 24)
    windows = [window(model, 30, seed, width=6, tolerance=0.01) for seed in range(3)]
    trajectories = [*windows, Parareal(solver(30), noise(3), blocks=5)]
    for trajectory in trajectories:
        engine.add(trajectory, Unconditional())
    while engine.active:
        engine.round()
    for seed, trajectory in enumerate(trajectories):
        assert relative_error(trajectory.newest.sample, serial(model, 30, seed)) < 0.01


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 30), st.sampled_from([0.0, 0.05]), st.sampled_from([1, 3]))
def test_resumed_from_any_round_it_goes_on_bit_for_bit(steps, width, rounds, tolerance, entries):
    model = Mixture()
    made = solver(steps) if entries == 1 else DPMSolver(solver(steps).grid)

    def finish(trajectory, limit=10**6):
        for _ in range(limit):
            chosen = trajectory.ready()
            if not chosen:
                break
            # One at a time: a batch of another size may round differently.
            outputs = [model.output(e.x[None], torch.tensor([e.timestep])) for e in chosen]
            trajectory.take(chosen, torch.cat(outputs))
        return trajectory

    options = {"width": width, "tolerance": tolerance}
    whole = finish(Window(made, noise(), **options))
    half = finish(Window(made, noise(), **options), rounds)
    saved = Checkpoint.from_bytes(half.checkpoint().to_bytes())
    resumed = finish(Window.resume(made, saved, **options))
    assert resumed.status is whole.status
    assert torch.equal(resumed.newest.sample, whole.newest.sample)
    assert (resumed.rounds, resumed.evaluations, resumed.deviation) == (
        whole.rounds,
        whole.evaluations,
        whole.deviation,
    )


@pytest.mark.parametrize("rounds", [0, 1, 4, 7, 10])
def test_a_checkpoint_of_version_0_1_is_resumed(rounds):
    """It kept the fields of the two sweeps side by side."""
    model = Mixture()
    half = window(model, 30, width=6, tolerance=0.01)
    for _ in range(rounds):
        chosen = half.ready()
        outputs = model.output(torch.stack([e.x for e in chosen]), torch.tensor([e.timestep for e in chosen]))
        half.take(chosen, outputs)
    saved = half.checkpoint()
    about = dict(saved.description)
    sweeps = {name: about.pop(name) for name in ("coarse", "fine")}
    about |= {
        "told": about.pop("shown_parts"),
        "frontiers": [sweep["frontier"] for sweep in sweeps.values()],
        "spans": {name: sweep["span"] for name, sweep in sweeps.items() if sweep["span"]},
        "thetas": {f"{name}/{point}": t for name, sweep in sweeps.items() for point, t in sweep["thetas"].items()},
        "drift": sweeps["fine"]["deviation"],
    }
    old = Checkpoint.from_bytes(Checkpoint(saved.tensors, about).to_bytes())
    new = Checkpoint.from_bytes(saved.to_bytes())
    ended = []
    for checkpoint in (old, new):
        resumed = Window.resume(solver(30), checkpoint, width=6, tolerance=0.01)
        run(Mixture(), resumed, 6)
        ended.append(resumed)
    assert torch.equal(ended[0].newest.sample, ended[1].newest.sample)
    assert (ended[0].newest.number, ended[0].deviation) == (ended[1].newest.number, ended[1].deviation)


@pytest.mark.parametrize("end", [run, lambda model, trajectory, width: trajectory.cancel()])
def test_one_that_has_ended_is_gone_at_once_when_nobody_holds_it(end):
    model = Mixture()
    trajectory = window(model, 30, width=6, tolerance=0.01)
    gone = weakref.ref(trajectory._fine)
    gc.disable()
    try:
        chosen = trajectory.ready()
        trajectory.take(chosen, model.output(torch.stack([e.x for e in chosen]), torch.tensor([chosen[0].timestep])))
        list(trajectory.offers())
        end(model, trajectory, 6)
        del trajectory
        assert gone() is None
    finally:
        gc.enable()


def test_a_checkpoint_of_another_method_is_refused():
    saved = Parareal(solver(20), noise(), blocks=4).checkpoint()
    with pytest.raises(InvalidCheckpoint, match="srds"):
        Window.resume(solver(20), saved, width=4)


def test_accept_keeps_the_newest_iterate():
    model = Mixture()
    trajectory = window(model, 50, width=4, tolerance=0.01)
    engine = Engine(model, 4)
    engine.add(trajectory, Unconditional())
    while trajectory.newest is None:
        engine.round()
    trajectory.accept()
    assert trajectory.status is Status.ACCEPTED


@pytest.mark.parametrize("arguments", [{"width": 0}, {"tolerance": -1}, {"tolerance": math.nan}])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"width|tolerance"):
        window(Mixture(), 20, **({"width": 4} | arguments))


@pytest.mark.parametrize("kind", KINDS)
def test_the_slope_of_an_output_is_that_of_its_noise_prediction(kind):
    """d eps / d x = theta / sigma, seen through what the network predicts."""
    theta, alpha, sigma = 0.4, 0.8, 0.6
    x, dx, eps = 1.3, 0.01, -0.7
    deps = theta / sigma * dx

    def output(x, eps):
        x0 = (x - sigma * eps) / alpha
        return {"epsilon": eps, "v_prediction": alpha * eps - sigma * x0, "sample": x0}[kind]

    assert output(x + dx, eps + deps) - output(x, eps) == pytest.approx(slope(theta, alpha, sigma, kind) * dx)


@pytest.mark.parametrize("tolerance", [0.0, 0.02])
def test_flow_matching_goes_through_the_window_too(tolerance):
    """A Gaussian's velocity, in a grid that starts at alpha = 0 and has uneven steps."""
    edges = torch.linspace(1, 0, 41).double() ** 0.7
    grid = Grid(edges[:-1], 1 - edges[:-1], edges[:-1], 1 - edges[1:], edges[1:])

    class Gaussian(Mixture):
        def output(self, x, timestep):
            sigma = timestep.float()[:, None, None, None]
            spread = 0.25 * (1 - sigma) ** 2 + sigma**2
            x0 = 0.5 + 0.25 * (1 - sigma) / spread * (x - 0.5 * (1 - sigma))
            return torch.where(sigma > 0, (x - x0) / sigma.clamp(min=1e-9), 0.0)

    flow = DDIM(grid, "velocity")
    serial = run(Gaussian(), Parareal(flow, noise(), blocks=1), 1)[-1].sample
    trajectory = Window(flow, noise(), width=8, tolerance=tolerance)
    assert relative_error(run(Gaussian(), trajectory, 8)[-1].sample, serial) < max(1e-6, tolerance)
    assert tolerance == 0 or trajectory.rounds < 30


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_only_a_guide_that_is_ahead_of_the_span_gives_the_expected_change(ahead):
    model, made = Mixture(), solver(40)
    start = made.initial(noise())

    def swept(points=None):
        sweep = Sweep(made, start, width=5, tolerance=0.0, points=points)
        for _ in range(2):
            ready = list(sweep.ready())
            x = torch.stack([sweep.x[point][0] for point in ready])
            timestep = torch.tensor([float(made.grid.timestep[sweep.points[point]]) for point in ready])
            sweep.take(ready, model.output(x, timestep))
        return sweep

    alone, guided = swept(), swept()
    assert alone.span.last == 5
    guided.guide = swept([0, 1, 2, 3, 4, 5 + ahead, 40])
    assert guided.guide.points[guided.guide.newest] == 5 + ahead
    alone.predict_to(9)
    guided.predict_to(9)
    assert torch.equal(alone.x[9], guided.x[9]) == (ahead == 0)
