"""DDIM, which is Euler's method for flow matching and for Karras-style models."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sampler.grid import Grid, ddim_grid, sigma_grid
from sampler.solvers.base import (
    LinearForm,
    NoiseProcess,
    Prediction,
    Solver,
    SolverRequest,
    arrival,
    broadcastable,
    ddim_step,
    departure,
    levels,
    predictions,
)
from sampler.solvers.stochastic import Stochastic, ddim_variance


def make_ddim(process: NoiseProcess, request: SolverRequest) -> Solver:
    """`DDIMScheduler` of diffusers; see `Factory`."""
    grid = ddim_grid(process.scheduler_as("DDIMScheduler"), request.steps).after(request.skipped)
    if request.eta == 0:
        return DDIM(grid, process.prediction, process.clip)
    return Stochastic(grid, *ddim_variance(grid, request.eta), request.seed, process.prediction, process.clip)


def make_euler(process: NoiseProcess, request: SolverRequest) -> Solver:
    """`EulerDiscreteScheduler` or `FlowMatchEulerDiscreteScheduler` of diffusers; see `Factory`."""
    scheduler = process.scheduler_as("EulerDiscreteScheduler")
    grid = sigma_grid(scheduler, request.steps, **request.schedule).after(request.skipped)
    return DDIM(grid, process.prediction)


@dataclass(frozen=True, slots=True)
class DDIM:
    """The deterministic DDIM step: `x' = alpha' * x0 + sigma' * eps` (Song, Meng, Ermon 2021, eq. 12, eta = 0).

    With alpha = 1 - sigma it is Euler's step along the velocity `eps - x0`; divided by alpha it is Euler's step in
    sigma / alpha of Karras et al. 2022. So it serves every noise process of `sampler.grid`.

    Attributes:
        grid: the time points.
        prediction: what the network's output means.
        clip: bound on |x0| as in diffusers' `clip_sample`, or None. The noise stays the unclipped one.
    """

    grid: Grid
    prediction: Prediction = "epsilon"
    clip: float | None = None

    @property
    def linear(self) -> LinearForm | None:
        """See `Solver.linear`. With `clip`, x0 counts twice in a step: bounded, and in the noise as it is."""
        if self.clip is not None:
            return None
        keep = self.grid.sigma_to / self.grid.sigma
        return LinearForm(keep, self.grid.alpha_to - keep * self.grid.alpha, torch.zeros_like(keep))

    def initial(self, noise: Tensor) -> Tensor:
        """See `Solver.initial`: (c, h, w) to (1, c, h, w) float32."""
        return self.grid.noise * noise.float().unsqueeze(0)

    def step(self, state: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """See `Solver.step`."""
        if self.clip is None:
            here, there = levels(self.grid.departs, start), levels(self.grid.arrives, end - 1)
            return ddim_step(state[:, 0], output, here, there, self.prediction).unsqueeze(1)
        alpha, sigma = broadcastable(departure(self.grid, start), state)
        alpha_to, sigma_to = broadcastable(arrival(self.grid, end), state)
        x0, eps = predictions(state[:, 0], output, alpha, sigma, self.prediction)
        return (alpha_to * x0.clamp(-self.clip, self.clip) + sigma_to * eps).unsqueeze(1)
