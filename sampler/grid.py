"""The grid: the N + 1 time points of the serial sampler, and the blocks that Parareal cuts it into.

Every noise process uses the frame of its network's input, `x = alpha * x0 + sigma * eps`: variance-preserving models
as they are, flow matching with alpha = 1 - sigma, and Karras-style models (diffusers stores `x0 + s * eps` and passes
`x / sqrt(s^2 + 1)` to the network) with alpha = 1 / sqrt(s^2 + 1), sigma = s * alpha. This change of frame is linear at
each point, so it changes neither a solver nor Parareal, and the state is always the network's input.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

Level = tuple[float, float]
"""alpha and sigma of a point."""


@dataclass(frozen=True, slots=True)
class Grid:
    """N + 1 time points from pure noise (point 0) to the image (point N); `x = alpha * x0 + sigma * eps` at each.

    A step leaves point i with `alpha[i], sigma[i]` and lands on point j > i with `alpha_to[j - 1], sigma_to[j - 1]`.
    The two agree for most schedules. They differ if a scheduler's own step does not land on the time point that it
    visits next (diffusers' DDIM with "trailing" or "linspace" spacing), and keeping both is what makes our serial
    sampler equal to that scheduler's.

    Attributes, all float64 on the CPU:
        timestep: (n,) the network's timestep at points 0 .. N-1.
        alpha, sigma: (n,) on departure from points 0 .. N-1.
        alpha_to, sigma_to: (n,) on arrival at points 1 .. N.
        noise: the state at point 0 is this times unit noise (diffusers' `init_noise_sigma`, in our frame).
        departs, arrives: the pairs (alpha, sigma) and (alpha_to, sigma_to) as floats, in the same order: arithmetic on
            a few floats takes a tenth of the time of operations on tensors.
        visits: the pairs (alpha, sigma) at points 0 .. N; the last one is the image itself.
    """

    timestep: Tensor
    alpha: Tensor
    sigma: Tensor
    alpha_to: Tensor
    sigma_to: Tensor
    noise: float = 1.0
    departs: list[Level] = field(init=False, repr=False, compare=False)
    arrives: list[Level] = field(init=False, repr=False, compare=False)
    visits: list[Level] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # It is frozen from here on.
        object.__setattr__(self, "departs", _levels(self.alpha, self.sigma))
        object.__setattr__(self, "arrives", _levels(self.alpha_to, self.sigma_to))
        object.__setattr__(self, "visits", [*self.departs, (1.0, 0.0)])

    @property
    def steps(self) -> int:
        """N, the number of serial steps."""
        return len(self.timestep)

    def after(self, skipped: int) -> "Grid":
        """The grid from point `skipped` on, for a state that is no longer pure noise; 0 leaves it as it is."""
        if skipped == 0:
            return self
        alpha, sigma, *to = (each[skipped:] for each in (self.alpha, self.sigma, self.alpha_to, self.sigma_to))
        return Grid(self.timestep[skipped:], alpha, sigma, to[0], to[1])


def _levels(alpha: Tensor, sigma: Tensor) -> list[Level]:
    return list(zip(alpha.numpy().tolist(), sigma.numpy().tolist(), strict=True))


def ddim_grid(scheduler: Any, steps: int) -> Grid:
    """The grid that a diffusers `DDIMScheduler` visits in `steps` steps, every `timestep_spacing` and offset included.

    The scheduler is read, not changed. Source: `DDIMScheduler.set_timesteps` and `.step` of diffusers 0.42.

    Args:
        scheduler: a `DDIMScheduler`.
        steps: N, from 1 to the scheduler's `num_train_timesteps`.

    Raises:
        ValueError: `steps` out of range.
    """
    trained = _trained(scheduler, steps)
    visit: Any = copy(scheduler)
    visit.set_timesteps(steps)
    # With "leading" spacing and a steps_offset, N close to the training timesteps would start past the last of them,
    # and diffusers fails: the first point then stays on the last trained timestep.
    # For some N "trailing" lists one timestep too many, below 0, by a rounding error.
    departs: Tensor = visit.timesteps[:steps].to(torch.int64).clamp(max=trained - 1)
    # DDIMScheduler.step calls it prev_timestep; below the first timestep it uses final_alpha_cumprod.
    arrives = departs - trained // steps
    alpha_bar: Tensor = scheduler.alphas_cumprod.double()
    final: Tensor = scheduler.final_alpha_cumprod.double()
    alpha_bar_to = torch.where(arrives >= 0, alpha_bar[arrives.clamp(min=0)], final)
    return _variance_preserving(departs, alpha_bar[departs], alpha_bar_to)


def ddpm_grid(scheduler: Any, steps: int) -> Grid:
    """The grid that a diffusers `DDPMScheduler` visits; unlike DDIM's, each step lands on the next listed timestep.

    Source: `DDPMScheduler.set_timesteps`, `.previous_timestep` and `.step` of diffusers 0.42. Arguments and errors are
    those of `ddim_grid`.
    """
    trained = _trained(scheduler, steps)
    visit: Any = copy(scheduler)
    visit.set_timesteps(steps)
    departs: Tensor = visit.timesteps[:steps].to(torch.int64).clamp(max=trained - 1)
    alpha_bar: Tensor = scheduler.alphas_cumprod.double()
    alpha_bar_to = torch.cat([alpha_bar[departs[1:]], torch.ones(1).double()])
    return _variance_preserving(departs, alpha_bar[departs], alpha_bar_to)


def sigma_grid(scheduler: Any, steps: int, *, changed: Tensor | None = None, **schedule: Any) -> Grid:
    """The grid of a diffusers scheduler that keeps a list of `sigmas`: Euler, flow matching, DPM-Solver multistep.

    Spacing, Karras, exponential and other sigmas, shift and final sigma are the scheduler's own. It is read, not
    changed. Source: `set_timesteps`, `init_noise_sigma` and `scale_model_input` of diffusers 0.42.

    Args:
        scheduler: an `EulerDiscreteScheduler`, `FlowMatchEulerDiscreteScheduler` or `DPMSolverMultistepScheduler`.
        steps: N, from 1 to the scheduler's `num_train_timesteps`.
        changed: its `sigmas`, if a pipeline changes them afterwards.
        schedule: more arguments of its `set_timesteps`: `mu`, `sigmas`.

    Raises:
        ValueError: `steps` out of range, or so many that the scheduler would visit a point twice.
    """
    _trained(scheduler, steps)
    visit: Any = copy(scheduler)
    if "sigmas" in schedule:
        visit.set_timesteps(**schedule)
    else:
        visit.set_timesteps(steps, **schedule)
    # Rounding may list one timestep too many: then the last sigma is the final one. Else it is the next in the list,
    # which goes on where sigmas are interpolated in their logarithm.
    listed: Tensor = visit.sigmas if changed is None else changed
    last = listed[steps : steps + 1] if len(visit.timesteps) == steps else listed[-1:]
    sigmas = torch.cat([listed[:steps], last]).double()
    if bool((sigmas[1:-1] >= sigmas[:-2]).any()):
        raise ValueError(f"the model's scheduler has no {steps} different time points: ask for fewer steps")
    timestep = visit.timesteps[:steps].double()
    if is_flow(scheduler):
        return Grid(timestep, 1 - sigmas[:-1], sigmas[:-1], 1 - sigmas[1:], sigmas[1:])
    alpha = 1 / (sigmas.square() + 1).sqrt()
    sigma = sigmas * alpha
    grid = Grid(timestep, alpha[:-1], sigma[:-1], alpha[1:], sigma[1:])
    if (noise := float(visit.init_noise_sigma)) == 1:
        return grid  # DPM-Solver: its state is in our frame
    # Euler starts and ends with x0 + s * eps.
    return replace(
        grid,
        noise=noise * float(alpha[0]),
        alpha_to=torch.cat([alpha[1:-1], torch.ones(1).double()]),
        sigma_to=torch.cat([sigma[1:-1], sigmas[-1:]]),
    )


def is_flow(scheduler: Any) -> bool:
    """Whether a diffusers scheduler's process is flow matching: alpha = 1 - sigma."""
    return "beta_schedule" not in scheduler.config or bool(scheduler.config.get("use_flow_sigmas"))


def doubled(grid: Grid) -> Grid:
    """The grid of Heun's method: N steps of two evaluations each but the last, as 2 N - 1 steps of one.

    Points 0, 1, 2, ... N of `grid` become 0, 1, 1, 2, 2, ... N: the first visit of a point ends Euler's step, the
    second one the corrected step (the way diffusers' `HeunDiscreteScheduler` lists its timesteps).
    """
    twice = torch.arange(grid.steps).repeat_interleave(2)
    departs, arrives = twice[1:], twice[:-1]
    return Grid(
        timestep=grid.timestep[departs],
        alpha=grid.alpha[departs],
        sigma=grid.sigma[departs],
        alpha_to=grid.alpha_to[arrives],
        sigma_to=grid.sigma_to[arrives],
        noise=grid.noise,
    )


def _variance_preserving(departs: Tensor, alpha_bar: Tensor, alpha_bar_to: Tensor) -> Grid:
    """The grid of timesteps (n,), from alpha^2 on departure and on arrival: sigma^2 = 1 - alpha^2."""
    return Grid(
        timestep=departs.double(),
        alpha=alpha_bar.sqrt(),
        sigma=(1 - alpha_bar).sqrt(),
        alpha_to=alpha_bar_to.sqrt(),
        sigma_to=(1 - alpha_bar_to).sqrt(),
    )


def _trained(scheduler: Any, steps: int) -> int:
    trained = int(scheduler.config.num_train_timesteps)
    if not 1 <= steps <= trained:
        raise ValueError(f"steps must be from 1 to {trained} (the model's training timesteps), not {steps}")
    return trained


def root_blocks(steps: int) -> int:
    """About sqrt(N), at least 1: blocks about as many as their steps, as SRDS is published."""
    return max(1, round(steps**0.5))


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
