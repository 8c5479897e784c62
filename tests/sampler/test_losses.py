"""What a sample may lose against the serial sampler: hardly anything, however badly a model suits the methods."""

from itertools import groupby

import pytest
import torch

from sampler import Window
from tests.sampler.plans import choose, start
from tests.sampler.problems import Mixture, Unconditional, noise, solver


def spent(model, trajectory, slots, cost):
    """What a trajectory takes alone, in rounds of one evaluation."""
    total = 0.0
    while chosen := trajectory.ready()[:slots]:
        x = torch.stack([evaluation.x for evaluation in chosen])
        timestep = torch.tensor([evaluation.timestep for evaluation in chosen])
        trajectory.take(chosen, model.denoise(x, timestep, [Unconditional()] * len(chosen)))
        total += cost(len(chosen))
    return total


def sloping(slope):
    """A device on which each further evaluation of a round costs a share of the first."""
    return lambda width: 1 + slope * (width - 1)


class Unpredictable(Mixture):
    """Its noise cannot be extrapolated, so that a window must evaluate nearly every point again."""

    def output(self, x, timestep):
        return super().output(x, timestep) + 0.3 * torch.sin(1e4 * x)


@pytest.mark.parametrize("steps", [25, 50, 100])
def test_iterates_on_the_way_to_the_exact_image_delay_it_by_at_most_5_percent(steps):
    methods = []
    for slope in (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5):
        cost = sloping(slope)
        made = choose(steps, 8, tolerance=0, cost=cost)
        trajectory = start(made, solver(steps), noise(), tolerance=0, cost=cost)
        assert spent(Mixture(), trajectory, 8, cost) <= 1.05 * steps
        methods.append(made.method)
    # SRDS shows better pictures, so it is chosen up to that limit, and the window beyond it.
    assert methods == sorted(methods)
    assert set(methods) == {"srds", "window"}


@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_a_window_that_does_not_pay_loses_at_most_5_percent(width):
    steps, cost = 200, sloping(1.0)
    trajectory = Window(solver(steps), noise(), width=width, tolerance=0.01, preview=False, cost=cost)
    took = spent(Unpredictable(), trajectory, width, cost)
    assert steps < took <= 1.05 * steps + cost(width) - 1  # a round may have begun before the loss is seen


@pytest.mark.parametrize("width", [2, 4, 8])
def test_a_window_that_pays_in_part_is_as_wide_as_pays(width):
    steps, cost, model = 200, sloping(0.3), Unpredictable()
    trajectory = Window(solver(steps), noise(), width=width, tolerance=0.01, preview=False, cost=cost)
    assert spent(model, trajectory, width, cost) < 0.85 * steps
    assert model.calls[:4] == [1, width, width, width]  # the first point has no other to be predicted from
    assert max(model.calls[4:]) == min(width, 4)


def test_a_window_that_has_lost_at_first_is_narrow_and_widens_when_it_pays_again():
    class HardAtFirst(Mixture):
        def output(self, x, timestep):
            bumps = torch.sin(1e4 * x) if float(timestep.min()) > 950 else 0.0
            return super().output(x, timestep) + 0.3 * bumps

    cost, model = sloping(0.6), HardAtFirst()
    trajectory = Window(solver(200), noise(), width=12, tolerance=0.01, preview=False, cost=cost)
    assert spent(model, trajectory, 12, cost) < 0.8 * 200
    widths = [width for width, _ in groupby(model.calls)]
    assert widths[:7] == [1, 12, 1, 2, 4, 8, 12]
