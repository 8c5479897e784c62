"""Stochastic DDIM and DDPM: the noise of every grid step is fixed by the seed, so that Parareal has one solution."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sampler.grid import Grid, ddpm_grid
from sampler.solvers.base import (
    LinearForm,
    NoiseProcess,
    Prediction,
    SolverRequest,
    arrival,
    broadcastable,
    departure,
    predictions,
)


def make_ddpm(process: NoiseProcess, request: SolverRequest) -> "Stochastic":
    """`DDPMScheduler` of diffusers; see `Factory`."""
    scheduler = process.scheduler_as("DDPMScheduler")
    grid = ddpm_grid(scheduler, request.steps).after(request.skipped)
    variance = ddpm_variance(scheduler, grid)
    return Stochastic(grid, *variance, request.seed, process.prediction, process.clip, consistent=True)


@dataclass(frozen=True, slots=True)
class Stochastic:
    """Ancestral sampling: `x' = alpha' x0 + direction eps + spread z` (Song, Meng, Ermon 2021, eq. 12, eta > 0).

    z of the grid step from point j depends on (seed, j) alone, not on the order of steps. A coarse step is the result
    of the fine steps for a constant x0: with r_j = direction_j / sigma_j, from point a to point b

        x_b = alpha_b x0 + (prod r_j) sigma_a eps + sum_j spread_j (prod_{k > j} r_k) z_j,    a <= j, k < b.

    Attributes:
        grid: the time points.
        direction, spread: (n,) float64, of the steps from points 0 .. N-1.
        seed: of the noise.
        prediction: what the network's output means.
        clip: bound on |x0| as in diffusers' `clip_sample`, or None.
        consistent: whether eps follows from the clipped x0, as in DDPM, or is the network's own, as in DDIM.
    """

    grid: Grid
    direction: Tensor
    spread: Tensor
    seed: int = 0
    prediction: Prediction = "epsilon"
    clip: float | None = None
    consistent: bool = False

    @property
    def linear(self) -> LinearForm | None:
        """See `Solver.linear`; None with `clip` unless `consistent`, as for DDIM."""
        if self.clip is not None and not self.consistent:
            return None
        keep = self.direction / self.grid.sigma
        gain = self.grid.alpha_to - keep * self.grid.alpha
        return LinearForm(keep, gain, torch.zeros_like(keep), noisy=True, clip=self.clip)

    def initial(self, noise: Tensor) -> Tensor:
        """See `Solver.initial`: (c, h, w) to (1, c, h, w) float32."""
        return self.grid.noise * noise.float().unsqueeze(0)

    def step(self, state: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """See `Solver.step`."""
        x = state[:, 0]
        alpha, sigma = broadcastable(departure(self.grid, start), state)
        x0, eps = predictions(x, output, alpha, sigma, self.prediction)
        if self.clip is not None:
            x0 = x0.clamp(-self.clip, self.clip)
            if self.consistent:
                eps = (x - alpha * x0) / sigma
        spans = [self._span(int(a), int(b), x) for a, b in zip(start, end, strict=True)]
        direction = broadcastable(torch.tensor([direction for direction, _ in spans], dtype=torch.float64), state)
        alpha_to = broadcastable(arrival(self.grid, end)[0], state)
        return (alpha_to * x0 + direction * eps + torch.stack([noise for _, noise in spans])).unsqueeze(1)

    def _span(self, start: int, end: int, x: Tensor) -> tuple[float, Tensor]:
        """The factor of eps over the steps from `start` to `end`, and their summed noise (c, h, w)."""
        ratio = self.direction[start:end] / self.grid.sigma[start:end]
        # after[j] = the product of the ratios of the steps that follow step j
        after = torch.cat([ratio[1:], torch.ones(1).double()]).flip(0).cumprod(0).flip(0)
        weights = (self.spread[start:end] * after).float()
        noise = torch.zeros(x.shape[1:])
        for point, weight in enumerate(weights, start):
            noise = noise + weight * step_noise(self.seed, point, x.shape[1:])
        return float(self.direction[start] * after[0]), noise.to(x)


@lru_cache(maxsize=128)  # SRDS takes the same steps in successive iterates
def step_noise(seed: int, point: int, shape: torch.Size) -> Tensor:
    """Unit normal noise of the grid step from `point`, the same on every device and in any order of steps. Shared: do
    not write to it."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, point]))
    return torch.tensor(generator.standard_normal(tuple(shape), dtype=np.float32))


def ddim_variance(grid: Grid, eta: float) -> tuple[Tensor, Tensor]:
    """Direction and spread of stochastic DDIM (eq. 16 of Song, Meng, Ermon 2021): eta = 0 is DDIM, 1 is DDPM."""
    spread = eta * _posterior(grid).sqrt()
    return (grid.sigma_to.square() - spread.square()).clamp(min=0).sqrt(), spread


def ddpm_variance(scheduler: Any, grid: Grid) -> tuple[Tensor, Tensor]:
    """Direction and spread of a diffusers `DDPMScheduler`, on its `ddpm_grid`.

    Raises:
        ValueError: the network predicts the variance.
    """
    small = _posterior(grid).clamp(min=1e-20)
    large = 1 - (grid.alpha / grid.alpha_to).square()
    kind = scheduler.config.variance_type
    if kind not in (None, "fixed_small", "fixed_small_log", "fixed_large"):  # None is fixed_small
        raise ValueError(f"variance_type {kind} is not supported by ddpm: choose ddim")
    spread = (large if kind == "fixed_large" else small).sqrt()
    spread = torch.where(grid.timestep > 0, spread, 0.0)
    return (grid.sigma_to.square() - _posterior(grid)).clamp(min=0).sqrt(), spread


def _posterior(grid: Grid) -> Tensor:
    """The variance of x' given x and x0: (sigma' / sigma)^2 (1 - (alpha / alpha')^2)."""
    return (grid.sigma_to / grid.sigma).square() * (1 - (grid.alpha / grid.alpha_to).square()).clamp(min=0)
