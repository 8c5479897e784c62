"""The peers of the benchmarks: each gives the serial solution in the end, and does what its paper describes."""

import pytest
import torch
from diffusers import DDIMParallelScheduler, DDIMScheduler, StableDiffusionParadigmsPipeline

from benchmarks.drive import Run, drive
from benchmarks.peers import SRDS, Chords, ParaDiGMS, ParaTAA, SRDSPipelined, Underpaint
from benchmarks.peers.chords import power_starts, published_starts
from benchmarks.problems import SHAPE, Anything, Tree
from sampler import DDIM, Collocation, Parareal, ddim_grid, load_model
from sampler.methods.srds import dataflow
from tests.sampler.conftest import EMOJI

STEPS = 16
PEERS = {
    "ParaDiGMS": lambda *a: ParaDiGMS(*a, tolerance=0),
    "ParaTAA": lambda *a: ParaTAA(*a, tolerance=0),
    "ParaTAA, plain": lambda *a: ParaTAA(*a, order=STEPS, memory=1, tolerance=0),
    "ParaTAA, long memory": lambda *a: ParaTAA(*a, order=3, memory=4, tolerance=0),
    "CHORDS": lambda *a: Chords(*a),
    "SRDS": lambda *a: SRDS(*a, tolerance=0),
    "SRDS pipelined": lambda *a: SRDSPipelined(*a, tolerance=0),
}


@pytest.fixture(scope="module")
def tree():
    return Tree(0.2)


@pytest.fixture(scope="module")
def emoji():
    return load_model(EMOJI)


def follow(model, peer, limit=10**6):
    """Drive a peer to its end (or so many rounds); what it shows after each round."""
    shown = []
    while peer.ready() and peer.rounds < limit:
        run = Run(peer, Anything(), torch.ones(SHAPE))
        drive(model, [run], peer.rounds + 1)
        shown.append(peer.estimate)
    return shown


def serial(tree, steps=STEPS, seed=0):
    solver = tree.solver(steps)
    return follow(tree, Underpaint(Parareal(solver, tree.noise(seed), blocks=1), 1))[-1]


def error(sample, exact):
    return float((sample - exact).norm() / exact.norm())


@pytest.mark.parametrize("width", [1, 3, 8, 100])
@pytest.mark.parametrize("name", PEERS)
def test_every_peer_ends_with_the_serial_solution(tree, name, width):
    if name == "CHORDS" and width == 100:
        width = 8
    peer = PEERS[name](tree.solver(STEPS), tree.noise(0), width)
    follow(tree, peer)
    assert error(peer.estimate, serial(tree)) < 1e-5
    if name != "SRDS" and width > 1 and (width >= STEPS // 2 or "SRDS" not in name):
        assert peer.rounds <= STEPS
    assert peer.evaluations <= peer.rounds * width


@pytest.mark.parametrize(("steps", "window", "tolerance"), [(12, 5, 0.1), (10, 10, 0.5), (10, 4, 0.02)])
def test_paradigms_is_that_of_diffusers(emoji, steps, window, tolerance):
    pipeline = StableDiffusionParadigmsPipeline.from_pretrained(EMOJI, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    # Its batched step takes alpha = 1 at the end whatever the scheduler has.
    config = pipeline.scheduler.config
    pipeline.scheduler = DDIMParallelScheduler.from_config(config, set_alpha_to_one=True)
    pipeline.wrapped_unet = pipeline.unet
    calls = []
    pipeline.unet.register_forward_pre_hook(lambda module, arguments: calls.append(len(arguments[0]) // 2))
    noise = emoji.noise(3, height=64, width=64)
    theirs = pipeline(
        "red heart",
        num_inference_steps=steps,
        guidance_scale=3.0,
        parallel=window,
        tolerance=tolerance,
        latents=noise[None],
        output_type="latent",
    ).images[0]

    solver = DDIM(ddim_grid(DDIMScheduler.from_config(config, set_alpha_to_one=True), steps), "v_prediction")
    peer = ParaDiGMS(solver, noise, window, tolerance=tolerance)
    counts = []
    while asked := peer.ready():
        counts.append(len(asked))
        drive(emoji, [Run(peer, emoji.encode("red heart", "", 3.0), noise)], peer.rounds + 1)
    assert counts == calls
    assert peer.rounds < steps
    assert error(peer.estimate, theirs) < 1e-4


def test_anderson_acceleration_saves_rounds():
    # Without modes to choose from, the problem is linear: one narrow Gaussian.
    tree = Tree(0.5)
    tree.modes = tree.modes[:1]
    exact = serial(tree, 40)

    def rounds(memory):
        peer = ParaTAA(tree.solver(40), tree.noise(0), 40, order=40, memory=memory, tolerance=0)
        shown = follow(tree, peer)
        return next(n for n, sample in enumerate(shown) if error(sample, exact) < 1e-5)

    assert rounds(3) < rounds(1)


@pytest.mark.parametrize("peer", [ParaTAA, ParaDiGMS])
def test_a_grid_whose_steps_miss_the_next_point_is_solved_too(tree, peer):
    solver = DDIM(ddim_grid(DDIMScheduler.from_config(tree.scheduler.config, timestep_spacing="trailing"), 30))
    assert not torch.equal(solver.grid.alpha[1:], solver.grid.alpha_to[:-1])
    exact = follow(tree, Underpaint(Parareal(solver, tree.noise(0), blocks=1), 1))[-1]
    assert error(follow(tree, peer(solver, tree.noise(0), 6, tolerance=0))[-1], exact) < 1e-5


def test_chords_rectifies_the_faster_core(tree):
    steps, start = 8, 4
    solver, noise = tree.solver(steps), tree.noise(0)
    peer = Chords(solver, noise, 2, starts=[0, start], outputs=1)
    follow(tree, peer)
    # Core 1 starts in round 2; core 0 is at core 1's start when core 1 takes its last step.
    assert (peer.rounds, peer.evaluations) == (5, 5 + 4)

    def output(x, point):
        return tree.denoise(x[None], solver.grid.timestep[point : point + 1], [Anything()])[0]

    def fine(x, first, last):
        for point in range(first, last):
            x = peer.step(x, output(x, point), point, point + 1)
        return x

    jumped = peer.step(noise, output(noise, 0), 0, start)
    exact = fine(noise, 0, start)
    expected = (
        fine(jumped, start, steps)
        - peer.step(jumped, output(jumped, start), start, steps)
        + peer.step(exact, output(exact, start), start, steps)
    )
    assert error(peer.estimate, expected) < 1e-6


def test_the_starts_of_chords():
    assert published_starts(50, 8) == [0, 2, 4, 8, 16, 24, 32, 40]
    assert published_starts(100, 64) == [0, 4, 8, 16, 32, 48, 64, 80]
    assert published_starts(50, 4) == [0, 24, 32, 40]
    assert published_starts(25, 1) == [0]
    assert power_starts(16, 4, 1.0) == [0, 4, 8, 12]
    assert power_starts(16, 8, 2.0) == [0, 2, 4, 6, 9, 12]


def test_srds_takes_the_rounds_of_its_schedule_and_gives_the_iterates_of_parareal(tree):
    steps, blocks = 25, 5
    solver, noise = tree.solver(steps), tree.noise(1)
    ours = Parareal(solver, noise, blocks=blocks, correction="plain")
    iterates = []
    while evaluations := ours.ready():
        x = torch.stack([evaluation.x for evaluation in evaluations])
        timestep = torch.tensor([evaluation.timestep for evaluation in evaluations]).double()
        iterates += ours.take(evaluations, tree.denoise(x, timestep, []))

    def changes(peer):
        shown = follow(tree, peer)
        return [
            (n + 1, sample)
            for n, (before, sample) in enumerate(zip([None, *shown], shown, strict=False))
            if sample is not None and (before is None or not torch.equal(before, sample))
        ]

    barriers = changes(SRDS(solver, noise, 100, tolerance=0))
    pipelined = changes(SRDSPipelined(solver, noise, 100, tolerance=0))
    for p, iterate in enumerate(iterates):
        assert error(barriers[p][1], iterate.sample) < 1e-6
        assert error(pipelined[p][1], iterate.sample) < 1e-6
        # An iteration is its fine steps, and then a coarse sweep over the blocks that are not exact.
        assert barriers[p][0] == 5 + sum(5 + (5 - q) for q in range(1, p + 1))
        assert pipelined[p][0] == dataflow.rounds([5] * 5, p)


def test_srds_stops_at_its_tolerance(tree):
    seen = []

    def distance(sample, before):
        seen.append((sample, before))
        return 1.0 if len(seen) < 2 else 0.05

    peer = SRDS(tree.solver(25), tree.noise(1), 100, distance=distance)
    follow(tree, peer)
    assert peer.rounds == 5 + (5 + 4) + (5 + 3)
    assert torch.equal(seen[1][1], seen[0][0])


def test_underpaint_is_driven_with_its_width(tree):
    peer = Underpaint(Collocation(tree.solver(STEPS), tree.noise(0), width=8, tolerance=0.0), 3)
    follow(tree, peer)
    assert peer.evaluations <= 3 * peer.rounds
    assert error(peer.estimate, serial(tree)) < 1e-6
