"""What a sample may lose against the serial sampler: hardly anything, however badly a model suits the methods."""

import pytest
import torch

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


@pytest.mark.parametrize("steps", [25, 50, 100])
def test_iterates_on_the_way_to_the_exact_image_delay_it_by_at_most_5_percent(steps):
    methods = []
    for slope in (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5):
        cost = sloping(slope)
        made = choose(steps, 8, tolerance=0, cost=cost)
        trajectory = start(made, solver(steps), noise(), tolerance=0, cost=cost)
        assert spent(Mixture(), trajectory, 8, cost) <= 1.05 * steps
        methods.append(made.method)
    # SRDS shows better pictures, so it is chosen up to that limit, and the serial sampler beyond it.
    assert methods == sorted(methods, reverse=True)
    assert set(methods) == {"srds", "serial"}
