"""UniPC: third order at one evaluation a step, which also corrects the step before."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sampler.errors import UnsupportedModel
from sampler.grid import Grid, sigma_grid
from sampler.solvers.base import (
    NoiseProcess,
    Prediction,
    SolverRequest,
    arrival,
    broadcastable,
    departure,
    x0_from,
)


def make_unipc(process: NoiseProcess, request: SolverRequest) -> "UniPC":
    """`UniPCMultistepScheduler` of diffusers; see `Factory`."""
    scheduler = process.scheduler_as("UniPCMultistepScheduler")
    config = scheduler.config
    check_unipc(config)
    return UniPC(
        sigma_grid(scheduler, request.steps, **request.schedule).after(request.skipped),
        process.prediction,
        order=1 if config.get("solver_order") == 1 else 2,
        lower_order_final=bool(config.get("lower_order_final", True)) or config.get("final_sigmas_type") == "zero",
        exponential=config.get("solver_type") != "bh1",
        uncorrected=frozenset(step - request.skipped for step in config.get("disable_corrector") or ()),
    )


def check_unipc(config: Any) -> None:
    """Refuse a scheduler that is not UniPC of order 1 or 2 in x0; see `SolverKind`."""
    wanted = {"predict_x0": (True,), "solver_order": (1, 2), "solver_p": (None,)}
    for option, values in wanted.items():
        if config.get(option, values[0]) not in values:
            raise UnsupportedModel(f"{option} {config[option]} is not supported: set it to {values[-1]}")


@dataclass(frozen=True, slots=True)
class UniPC:
    """UniPC-2 in x0 (Zhao et al. 2023, algorithms 1 and 2; diffusers' `UniPCMultistepScheduler`).

    Its predictor is of order 2, with the corrector it is of order 3. An evaluation at the predicted sample of a point
    first corrects that sample, and then predicts the next one from it. The state is (the predicted sample, the
    corrected sample of the point before, the last two x0, the grid points of these): six entries, the last two constant
    over the sample and -1 where there is none. A coarse step is first order and leaves no history, so that a fine solve
    from its end starts as the serial solver does.

    With lambda = log(alpha / sigma), h = lambda' - lambda, e = e^-h - 1, B(h) = e or -h, and
    r = (lambda_before - lambda) / h the predictor is
    `x' = sigma'/sigma x - alpha' (e x0 + B (x0_before - x0) / (2 r))`, and the corrector
    `sigma'/sigma x - alpha' (e x0 + B (p (x0_before - x0) / r + q (x0' - x0)))` with p, q that satisfy the order
    conditions. First order omits the terms with x0_before, and its q is 1/2.

    Attributes:
        grid: the time points.
        prediction: what the network's output means.
        order: of the predictor of a fine step, 1 or 2.
        lower_order_final: whether the step that ends at point N is first order, as it must be if sigma ends at 0.
        exponential: whether B(h) is e^-h - 1 ("bh2") and not -h ("bh1").
        uncorrected: steps that are not corrected, by the points where they start.
    """

    grid: Grid
    prediction: Prediction = "epsilon"
    order: int = 2
    lower_order_final: bool = True
    exponential: bool = True
    uncorrected: Collection[int] = frozenset()

    @property
    def linear(self) -> None:
        """See `Solver.linear`: the corrector takes a third x0 into a step."""
        return None

    def initial(self, noise: Tensor) -> Tensor:
        """See `Solver.initial`: (c, h, w) to (6, c, h, w) float32, with an empty history."""
        x = self.grid.noise * noise.float()
        zero, none = torch.zeros_like(x), -torch.ones_like(x)
        return torch.stack([x, zero, zero, zero, none, none])

    def step(self, state: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """See `Solver.step`."""
        x, corrected, before, earlier = state[:, :4].unbind(1)
        last, older = state[:, 4:, 0, 0, 0].round().long().cpu().unbind(1)
        here = departure(self.grid, start)
        alpha, sigma = broadcastable(here, state)
        x0 = x0_from(x, output, alpha, sigma, self.prediction)

        used = torch.tensor([int(point) not in self.uncorrected for point in last]) & (last >= 0)
        keep, of_x0, of_before, of_earlier = self._corrector(last, older, here)
        coefficients = torch.stack([keep, of_x0, of_before, of_earlier])
        coefficients = torch.where(used, coefficients, 0.0)
        keep, of_x0, of_before, of_earlier = broadcastable(coefficients, state)
        whole = broadcastable((~used).double(), state)
        sample = whole * x + keep * corrected + of_x0 * x0 + of_before * before + of_earlier * earlier

        there = arrival(self.grid, end)
        second = self._second(start, end, last)
        keep, of_x0, of_before = broadcastable(torch.stack(self._predictor(here, there, last, second)), state)
        to = keep * sample + of_x0 * x0 + of_before * before
        fine = end == start + 1
        marks = [torch.where(fine, start, -1), torch.where(fine, last, -1)]
        points = [broadcastable(mark.double(), state).expand_as(x) for mark in marks]
        return torch.stack([to, sample, x0, before, *points], 1)

    def _second(self, start: Tensor, end: Tensor, before: Tensor) -> Tensor:
        """Whether a step is second order, given the point of the x0 before it."""
        second = (end == start + 1) & (before >= 0) & (self.order == 2)
        return second & (end < self.grid.steps) if self.lower_order_final else second

    def _predictor(self, here: Tensor, there: Tensor, last: Tensor, second: Tensor) -> list[Tensor]:
        """The factors of the sample, of x0 and of the x0 before."""
        h = _lambda(there) - _lambda(here)
        e = torch.expm1(-h)
        r = (_lambda(departure(self.grid, last.clamp(min=0))) - _lambda(here)) / h
        half = torch.where(second, there[0] * self._b(h) / (2 * r), 0.0)
        return [there[1] / here[1], -there[0] * e + half, -half]

    def _corrector(self, last: Tensor, older: Tensor, there: Tensor) -> list[Tensor]:
        """The factors of the corrected sample before, of x0, of the x0 before and of the one before that."""
        here = departure(self.grid, last.clamp(min=0))
        h = torch.where(last >= 0, _lambda(there) - _lambda(here), 1.0)
        e, b = torch.expm1(-h), self._b(h)
        r = (_lambda(departure(self.grid, older.clamp(min=0))) - _lambda(here)) / h
        # p + q = b_1 and r p + q = b_2, which hold the integrals of 1 and of lambda exact.
        phi_2 = -e / h - 1
        first, second = phi_2 / b, 2 * (-phi_2 / h - 0.5) / b
        p = (first - second) / (1 - r)
        high = (older >= 0) & (self.order == 2)
        q = torch.where(high, first - p, 0.5)
        p = torch.where(high, p / r, 0.0)
        scale = -there[0] * b
        return [there[1] / here[1], scale * q, -there[0] * e - scale * (p + q), scale * p]

    def _b(self, h: Tensor) -> Tensor:
        return torch.expm1(-h) if self.exponential else -h


def _lambda(alpha_sigma: Tensor) -> Tensor:
    return alpha_sigma[0].log() - alpha_sigma[1].log()
