"""DPM-Solver++(2M): second order at one evaluation a step, from the step before."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from sampler.errors import UnsupportedModel
from sampler.grid import Grid, sigma_grid
from sampler.solvers.base import (
    LinearForm,
    NoiseProcess,
    Prediction,
    SolverRequest,
    arrival,
    broadcastable,
    departure,
    x0_from,
)


def make_dpm(process: NoiseProcess, request: SolverRequest) -> "DPMSolver":
    """`DPMSolverMultistepScheduler` of diffusers; see `Factory`."""
    scheduler = process.scheduler_as("DPMSolverMultistepScheduler")
    config = scheduler.config
    check_dpm(config)
    lower = (
        config.get("final_sigmas_type", "zero") == "zero"
        or bool(config.get("euler_at_final"))
        or (bool(config.get("lower_order_final")) and request.steps < 15)
    )
    order = 1 if config.get("solver_order") == 1 else 2
    grid = sigma_grid(scheduler, request.steps, **request.schedule).after(request.skipped)
    return DPMSolver(grid, process.prediction, order, lower_order_final=lower)


def check_dpm(config: Any) -> None:
    """Refuse a scheduler that is not DPM-Solver++(2M); see `SolverKind`."""
    wanted = {
        "algorithm_type": ("dpmsolver++",), "solver_order": (1, 2), "solver_type": ("midpoint",),
    }  # fmt: skip
    for option, values in wanted.items():
        if config.get(option, values[0]) not in values:
            raise UnsupportedModel(f"{option} {config[option]} is not supported: set it to {values[-1]}")


@dataclass(frozen=True, slots=True)
class DPMSolver:
    """DPM-Solver++(2M), midpoint form (Lu et al. 2022, algorithm 2; diffusers' `DPMSolverMultistepScheduler`).

    The state is (x, the previous x0, the grid point of that x0): three entries, the last one constant over the sample
    and -1 at the start. A coarse step stores its own start there, so that a fine solve from its end takes the slope
    over the distance that it spans. Parareal's sum F + G - G of such states is such a state again, and at p = B the
    history that crosses a block boundary is the serial solver's.

    Coarse steps are first order. A second-order one would take its slope from the last two fine steps before a block
    and apply it to the whole block: on the shipped model (50 steps, 10 blocks) that is no better at iterate 0 and
    diverges after iterate 1.

    With lambda = log(alpha / sigma), h = lambda' - lambda and r = (lambda - lambda_before) / h a step is
    `x' = sigma'/sigma x - alpha' (e^-h - 1) (x0 + (x0 - x0_before) / (2 r))`; first order omits the fraction, and is
    DDIM.

    Attributes:
        grid: the time points.
        prediction: what the network's output means.
        order: of a fine step; 1 is DDIM.
        lower_order_final: whether the step that ends at point N is first order (it always is if sigma ends at 0).
    """

    grid: Grid
    prediction: Prediction = "epsilon"
    order: Literal[1, 2] = 2
    lower_order_final: bool = True

    @property
    def linear(self) -> LinearForm:
        """See `Solver.linear`."""
        grid = self.grid
        keep = grid.sigma_to / grid.sigma
        gain = grid.alpha_to - keep * grid.alpha
        here = _lambda(torch.stack([grid.alpha, grid.sigma]))
        there = _lambda(torch.stack([grid.alpha_to, grid.sigma_to]))
        half = torch.zeros_like(keep)
        if self.order == 2:
            half[1:] = (there - here)[1:] / (here[1:] - here[:-1]) / 2
        if self.lower_order_final:
            half[-1] = 0
        return LinearForm(keep, gain * (1 + half), -gain * half)

    def initial(self, noise: Tensor) -> Tensor:
        """See `Solver.initial`: (c, h, w) to (3, c, h, w) float32, with an empty history."""
        x = self.grid.noise * noise.float()
        return torch.stack([x, torch.zeros_like(x), -torch.ones_like(x)])

    def step(self, state: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """See `Solver.step`."""
        grid = self.grid
        x, before = state[:, 0], state[:, 1]
        point = state[:, 2, 0, 0, 0].round().long().cpu()
        here, there = departure(grid, start), arrival(grid, end)
        alpha, sigma = broadcastable(here, state)
        x0 = x0_from(x, output, alpha, sigma, self.prediction)

        # e^-h = (sigma' / alpha') (alpha / sigma), so that -alpha' (e^-h - 1) = alpha' - alpha sigma' / sigma.
        keep, gain = there[1] / here[1], there[0] - here[0] * there[1] / here[1]
        half = (_lambda(there) - _lambda(here)) / (_lambda(here) - _lambda(departure(grid, point.clamp(min=0)))) / 2
        second = (end == start + 1) & (point >= 0) & (self.order == 2)
        if self.lower_order_final:
            second &= end < grid.steps
        keep, gain, half = broadcastable(torch.stack([keep, gain, torch.where(second, half, 0.0)]), state)
        to = keep * x + gain * (x0 + half * (x0 - before))
        return torch.stack([to, x0, broadcastable(start.double(), state).expand_as(x)], 1)


def _lambda(alpha_sigma: Tensor) -> Tensor:
    return alpha_sigma[0].log() - alpha_sigma[1].log()
