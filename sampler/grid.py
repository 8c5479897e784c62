"""The grid: the N + 1 time points of the serial sampler, and the blocks that Parareal cuts it into."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Grid:
    """N + 1 time points from pure noise (point 0) to the image (point N); `x = alpha * x0 + sigma * eps` at each.

    A step leaves point i with `alpha[i], sigma[i]` and lands on point j > i with `alpha_to[j - 1], sigma_to[j - 1]`.
    The two agree for most schedules. They differ where a scheduler's own step does not land on the time point that it
    visits next (diffusers' DDIM with "trailing" or "linspace" spacing), and keeping both is what makes our serial
    sampler equal to that scheduler's.

    Attributes, all float64 on the CPU:
        timestep: (n,) what the network is told at points 0 .. N-1.
        alpha, sigma: (n,) on departure from points 0 .. N-1.
        alpha_to, sigma_to: (n,) on arrival at points 1 .. N.
    """

    timestep: Tensor
    alpha: Tensor
    sigma: Tensor
    alpha_to: Tensor
    sigma_to: Tensor

    @property
    def steps(self) -> int:
        """N, the number of serial steps."""
        return len(self.timestep)


def ddim_grid(scheduler: Any, steps: int) -> Grid:
    """The grid that a diffusers `DDIMScheduler` visits in `steps` steps, every `timestep_spacing` and offset included.

    The scheduler is read, not changed. Source: `DDIMScheduler.set_timesteps` and `.step` of diffusers 0.42.

    Args:
        scheduler: a `DDIMScheduler`.
        steps: N, from 1 to the scheduler's `num_train_timesteps`.

    Raises:
        ValueError: `steps` out of range.
    """
    trained = int(scheduler.config.num_train_timesteps)
    if not 1 <= steps <= trained:
        raise ValueError(f"steps must be from 1 to {trained} (the model's training timesteps), not {steps}")
    visit: Any = copy(scheduler)
    visit.set_timesteps(steps)
    # With "leading" spacing and a steps_offset, N close to the training timesteps would start past the last of them
    # (where diffusers fails): the first point then stays on the last trained timestep.
    # For some N "trailing" lists one timestep too many, below 0, by a rounding error.
    departs: Tensor = visit.timesteps[:steps].to(torch.int64).clamp(max=trained - 1)
    # What DDIMScheduler.step calls prev_timestep; before the first timestep lies final_alpha_cumprod.
    arrives = departs - trained // steps
    alpha_bar: Tensor = scheduler.alphas_cumprod.double()
    final: Tensor = scheduler.final_alpha_cumprod.double()
    alpha_bar_to = torch.where(arrives >= 0, alpha_bar[arrives.clamp(min=0)], final)
    return Grid(
        timestep=departs.double(),
        alpha=alpha_bar[departs].sqrt(),
        sigma=(1 - alpha_bar[departs]).sqrt(),
        alpha_to=alpha_bar_to.sqrt(),
        sigma_to=(1 - alpha_bar_to).sqrt(),
    )


def block_edges(steps: int, blocks: int | Sequence[int]) -> tuple[int, ...]:
    """The boundaries 0 = b_0 < b_1 < ... < b_B = N of B blocks, as equal as they can be (longer blocks first).

    Args:
        steps: N.
        blocks: B, from 1 to N; or the block lengths themselves, which sum to N.

    Raises:
        ValueError: the blocks do not fit the steps.
    """
    if isinstance(blocks, int):
        if not 1 <= blocks <= steps:
            raise ValueError(f"blocks must be from 1 to the number of steps ({steps}), not {blocks}")
        short, longer = divmod(steps, blocks)
        lengths: Sequence[int] = [short + (i < longer) for i in range(blocks)]
    else:
        lengths = blocks
        if sum(lengths) != steps or min(lengths, default=0) < 1:
            raise ValueError(f"block lengths must be positive and sum to the number of steps ({steps}): {lengths}")
    edges = [0]
    for length in lengths:
        edges.append(edges[-1] + length)
    return tuple(edges)
