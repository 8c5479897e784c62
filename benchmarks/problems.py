"""An analytic problem that is stiff: the exact denoiser of a tree of narrow modes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from sampler import DDIM, Lora, ddim_grid

SHAPE = (4, 8, 8)
LEVELS, SHRINK = 9, 0.7


@dataclass(frozen=True)
class Anything:
    """The condition of a problem that has none."""

    signature: int = 0
    loras: tuple[Lora, ...] = ()


class Tree:
    """The network's place taken by the exact prediction of the noise, for data that is a mixture of narrow Gaussians.

    The 2^9 modes lie at the leaves of a binary tree: which half a sample belongs to is decided at one noise level,
    which quarter at a lower one, and so on, so that there are sharp turns all along the way and not only at its start.
    Near each turn the noise depends on the state the more steeply the narrower the modes are.

    Source of the formula: Bayes' rule; x0 given x is a mixture again, of means m_k + (w^2 alpha / v) (x - alpha m_k),
    v = alpha^2 w^2 + sigma^2, with weights softmax(-|x - alpha m_k|^2 / 2 v).
    """

    def __init__(self, mode_width: float) -> None:
        """Make the modes; `mode_width` is w, their standard deviation."""
        generator = torch.Generator().manual_seed(1)
        modes = torch.zeros(1, *SHAPE, dtype=torch.float64)
        for level in range(LEVELS):
            turn = SHRINK**level * torch.randn(len(modes), *SHAPE, generator=generator, dtype=torch.float64)
            modes = torch.cat([modes + turn, modes - turn])
        self.modes = (modes / modes.square().mean().sqrt()).flatten(1)
        self.mode_width = mode_width
        self.scheduler: Any = DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        )

    def solver(self, steps: int) -> DDIM:
        """DDIM over the grid of N steps that Stable Diffusion's scheduler makes."""
        return DDIM(ddim_grid(self.scheduler, steps))

    def noise(self, seed: int) -> Tensor:
        """Unit normal noise (c, h, w)."""
        return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Any]) -> Tensor:
        """See `sampler.Denoiser.denoise`."""
        alpha_bar = self.scheduler.alphas_cumprod[timestep.long()].double()[:, None]
        alpha, flat = alpha_bar.sqrt(), x.flatten(1).double()
        variance = alpha_bar * self.mode_width**2 + 1 - alpha_bar
        square = flat.square().sum(1, keepdim=True) + alpha_bar * self.modes.square().sum(1)
        distance = square - 2 * alpha * (flat @ self.modes.T)
        mean = torch.softmax(-distance / (2 * variance), 1) @ self.modes
        x0 = mean + self.mode_width**2 * alpha / variance * (flat - alpha * mean)
        return ((flat - alpha * x0) / (1 - alpha_bar).sqrt()).reshape(x.shape).float()
