"""The grid against the scheduler it is read from."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler import DDIM, Parareal, block_edges, ddim_grid
from tests.sampler.problems import Mixture, noise, relative_error, run, scheduler, solver

SPACINGS = ["leading", "trailing", "linspace"]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("steps", [1, 7, 25])
def test_the_serial_sampler_takes_the_steps_of_the_diffusers_scheduler(spacing, offset, one, prediction, steps):
    changes = {
        "timestep_spacing": spacing,
        "steps_offset": offset,
        "set_alpha_to_one": one,
        "prediction_type": prediction,
    }
    model, theirs = Mixture(prediction), scheduler(**changes)
    theirs.set_timesteps(steps)
    x = noise()
    for t in theirs.timesteps:
        x = theirs.step(model.output(x[None], t[None])[0], int(t), x).prev_sample

    ours = run(model, Parareal(solver(steps, **changes), noise(), blocks=1), width=1)[-1]
    assert relative_error(ours.sample, x) < 2e-6


@pytest.mark.parametrize("clip", [0.5, 1.0])
def test_clipping_is_that_of_the_diffusers_scheduler(clip):
    theirs = scheduler(clip_sample=True, clip_sample_range=clip)
    theirs.set_timesteps(10)
    x, model = noise(), Mixture()
    step = DDIM(ddim_grid(theirs, 10), "epsilon", clip)
    for i, t in enumerate(theirs.timesteps):
        output = model.output(x[None], t[None])[0]
        expected = theirs.step(output, int(t), x).prev_sample
        ours = step.step(x[None, None], output[None], torch.tensor([i]), torch.tensor([i + 1]))[0, 0]
        assert torch.allclose(ours, expected, atol=1e-5)
        x = expected


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_number_of_steps_up_to_the_trained_ones_gives_a_grid(spacing):
    for steps in [*range(1, 60), 333, 500, 999, 1099, 1100]:
        grid = ddim_grid(scheduler(timestep_spacing=spacing), steps)
        assert grid.steps == steps
        assert 0 <= grid.timestep.min() <= grid.timestep.max() <= 1099
        assert torch.all(grid.timestep[1:] <= grid.timestep[:-1])
        assert torch.allclose(grid.alpha**2 + grid.sigma**2, torch.ones(steps).double())
        assert torch.allclose(grid.alpha_to**2 + grid.sigma_to**2, torch.ones(steps).double())


def test_reading_the_grid_leaves_the_scheduler_as_it_was():
    theirs = scheduler()
    theirs.set_timesteps(7)
    ddim_grid(theirs, 20)
    assert len(theirs.timesteps) == 7


@pytest.mark.parametrize("steps", [0, -1, 1101])
def test_steps_out_of_range_are_refused_with_the_range(steps):
    with pytest.raises(ValueError, match="from 1 to 1100"):
        ddim_grid(scheduler(), steps)


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_blocks_cut_the_grid_as_equally_as_can_be(steps, data):
    blocks = data.draw(st.integers(1, steps))
    edges = block_edges(steps, blocks)
    lengths = [b - a for a, b in pairwise(edges)]
    assert (edges[0], edges[-1], len(lengths)) == (0, steps, blocks)
    assert max(lengths) - min(lengths) <= 1
    assert block_edges(steps, lengths) == edges


@pytest.mark.parametrize("blocks", [0, 11, [5, 4], [10, 0], []])
def test_blocks_that_do_not_fit_are_refused(blocks):
    with pytest.raises(ValueError, match="10"):
        block_edges(10, blocks)


def test_a_timestep_too_many_is_left_out():
    """For 61 "trailing" steps diffusers lists 62 timesteps, the last of them -1."""
    theirs = scheduler(timestep_spacing="trailing", num_train_timesteps=1000)
    theirs.set_timesteps(61)
    assert (len(theirs.timesteps), int(theirs.timesteps[-1])) == (62, -1)
    assert ddim_grid(theirs, 61).timestep.tolist() == theirs.timesteps[:61].tolist()
