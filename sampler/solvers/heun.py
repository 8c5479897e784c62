"""Heun's method: second order, two evaluations a step, cut into grid steps of one evaluation each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sampler.grid import Grid, doubled, sigma_grid
from sampler.solvers.base import NoiseProcess, Prediction, SolverRequest, arrival, broadcastable, departure, predictions


def make_heun(process: NoiseProcess, request: SolverRequest) -> "Heun":
    """`HeunDiscreteScheduler` of diffusers, on the grid of its Euler scheduler; see `Factory`."""
    scheduler = process.scheduler_as("EulerDiscreteScheduler")
    grid = sigma_grid(scheduler, request.steps, **request.schedule).after(request.skipped)
    return Heun(doubled(grid), process.prediction)


@dataclass(frozen=True, slots=True)
class Heun:
    """Heun's method (Karras et al. 2022, algorithm 1; diffusers' `HeunDiscreteScheduler` and its flow variant).

    On a grid from `sampler.grid.doubled`. It solves dy/ds = slope, in y = x / alpha and s = sigma / alpha with slope
    eps; for a velocity in y = x and s = sigma with slope eps - x0.

    Euler's step ends at an odd point, the corrected step at the even point after it. The state is (x, the sample before
    Euler's step); the second entry is read at odd points only. From an even point
    `y' = y + (s' - s) slope(y)`, from an odd one `y'' = y + (s' - s) (slope(y) + slope(y')) / 2`, the first slope being
    known from y and y'. The last step of all is Euler's.

    A coarse step is Euler's too: from an even point straight to `end`, from an odd one after the correction. If
    `end` is odd, its second entry is the sample at the point before.

    Attributes:
        grid: the time points, 2 N - 1 steps.
        prediction: what the network's output means.
    """

    grid: Grid
    prediction: Prediction = "epsilon"

    @property
    def linear(self) -> None:
        """See `Solver.linear`: the two evaluations of a step predict different images at one noise level, between which
        nothing can be interpolated."""
        return None

    def initial(self, noise: Tensor) -> Tensor:
        """See `Solver.initial`: (c, h, w) to (2, c, h, w) float32."""
        return (self.grid.noise * noise.float()).expand(2, *noise.shape)

    def step(self, state: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """See `Solver.step`."""
        x, before = state.unbind(1)
        here = departure(self.grid, start)
        alpha, sigma = broadcastable(here, state)
        x0, eps = predictions(x, output, alpha, sigma, self.prediction)
        slope = eps - x0 if self.prediction == "velocity" else eps

        odd = start % 2 == 1
        scale, s = self._frame(here)
        scale_before, s_before = self._frame(departure(self.grid, (start - 1).clamp(min=0)))
        distance = torch.where(odd, s - s_before, 1.0)
        scale, scale_before, distance = broadcastable(torch.stack([scale, scale_before, distance]), state)
        y, y_before = x / scale, before / scale_before
        corrected = y_before + (y - y_before + distance * slope) / 2
        y = torch.where(odd.to(state.device)[:, None, None, None], corrected, y)

        # An odd point and the even one after it lie at the same s: from there on, Euler's step to `end`, and to the
        # point before it for the second entry.
        scale_to, s_to = self._frame(arrival(self.grid, end))
        before_end = torch.where(end - 1 > start, arrival(self.grid, (end - 1).clamp(min=1)), here)
        scale_last, s_last = self._frame(before_end)
        to, last, scale_to, scale_last = broadcastable(torch.stack([s_to - s, s_last - s, scale_to, scale_last]), state)
        return torch.stack([scale_to * (y + to * slope), scale_last * (y + last * slope)], 1)

    def _frame(self, alpha_sigma: Tensor) -> tuple[Tensor, Tensor]:
        """x / y and s at points with these (alpha, sigma)."""
        alpha, sigma = alpha_sigma
        return (torch.ones_like(alpha), sigma) if self.prediction == "velocity" else (alpha, sigma / alpha)
