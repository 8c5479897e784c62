"""ParaTAA: the triangular system of all steps, solved by Anderson acceleration over a window.

Tang, Tang, Luo, Wang, Chang, "Accelerating Parallel Sampling of Diffusion Models", ICML 2024 (arXiv 2402.09970),
algorithm 1. In y, which is x but for a factor, DDIM's step is y[j+1] = y[j] + h[j] eps[j], and the residual of order k
of the point j + 1 of the window [b, e) is

    R[j+1] = y[i] + sum over i <= l <= j of h[l] eps[l] - y[j+1],    i = max(j + 1 - k, b),

taken back to x. With dX, dR the changes of states and residuals over the last m - 1 rounds and sums over the points of
the window up to j + 1 (which keeps the system triangular),

    x[j+1] += R[j+1] - (dX[j+1] + dR[j+1]) (sum dR'dR + lambda)^-1 (sum dR'R).

The first point that has not converged takes the plain update (the paper's safeguard), so each round gains a point. A
point has converged when its first-order residual is at most the tolerance, RMS.

The published settings are those of the authors' repository (order 20, memory 2, lambda 1e-3, both of its tolerances
1e-3, where a point has converged when either is met: the larger one then decides, which is what is done here). Which
order and memory the paper's own tables took for each N could not be ascertained. Where a point has entered the window
later than others, the repository uses the oldest differences in place of missing ones; here missing ones are left out,
which is the same for its memory of 2.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.peers.base import Published, Rounds
from sampler import DDIM

PUBLISHED_ORDER, PUBLISHED_MEMORY, PUBLISHED_TOLERANCE, REGULARISATION = 20, 2, 1e-3, 1e-3


@dataclass(frozen=True)
class Past:
    """One round's states and residuals of the points `first` on, (b, c h w) float64."""

    first: int
    x: Tensor
    residual: Tensor


class ParaTAA(Published):
    """ParaTAA of one sample.

    The image shown while the window does not reach the end: one DDIM step to it from the window's last point.
    """

    def __init__(
        self,
        solver: DDIM,
        noise: Tensor,
        width: int,
        *,
        order: int = PUBLISHED_ORDER,
        memory: int = PUBLISHED_MEMORY,
        tolerance: float = PUBLISHED_TOLERANCE,
    ) -> None:
        """Start from noise; see `Published`.

        Args:
            order: k, how many equations are summed into one.
            memory: m, how many rounds are remembered; 1 is plain fixed-point iteration.
            tolerance: a point has converged when its first-order residual (RMS) is at most this.
        """
        grid = solver.grid
        self.order, self.memory, self.tolerance = order, memory, tolerance
        # The step is x' = a x + b eps; the factor of y is the product of all a before.
        a = grid.alpha_to / grid.alpha
        self.factor = torch.cat([torch.ones(1).double(), a.cumprod(0)])[:, None, None, None]
        self.h = (grid.sigma_to - a * grid.sigma)[:, None, None, None] / self.factor[1:]
        super().__init__(solver, noise, width)

    def _sample(self) -> Rounds:
        x = self.start.double().repeat(self.steps + 1, 1, 1, 1)
        begin, end = 0, min(self.width, self.steps)
        past: list[Past] = []
        while begin < self.steps:
            window = x[begin:end].float()
            outputs = yield [self.at(begin + n, point) for n, point in enumerate(window)]
            eps = self.noise_predicted(window, outputs, begin).double()
            first_order = self._residual(x, eps, begin, 1)
            residual = self._residual(x, eps, begin, self.order)
            converged = first_order.square().mean((1, 2, 3)).sqrt() <= self.tolerance
            plain = len(converged) if bool(converged.all()) else int(converged.int().argmin()) + 1
            now = Past(begin + 1, x[begin + 1 : end + 1].flatten(1).clone(), residual.flatten(1))
            past = [*past, now][-self.memory :]
            accelerated = self._acceleration(past)
            accelerated[:plain] = 0
            x[begin + 1 : end + 1] += residual - accelerated.reshape(residual.shape)
            to_end = self.h[end:].sum() * eps[-1]
            self.estimate = (self.factor[-1] * (x[end] / self.factor[end] + to_end)).float()
            begin += plain
            newest, end = end, min(begin + self.width, self.steps)
            x[newest : end + 1] = x[newest].clone()

    def _residual(self, x: Tensor, eps: Tensor, begin: int, order: int) -> Tensor:
        """The residuals of the points after `begin`, of an order, in x: (b, c, h, w) float64."""
        end = begin + len(eps)
        y = x[begin : end + 1] / self.factor[begin : end + 1]
        summed = torch.cat([torch.zeros_like(eps[:1]), (self.h[begin:end] * eps).cumsum(0)])
        points = torch.arange(1, len(eps) + 1)
        anchors = (points - order).clamp(min=0)
        return self.factor[begin + 1 : end + 1] * (y[anchors] + summed[points] - summed[anchors] - y[points])

    def _acceleration(self, past: list[Past]) -> Tensor:
        """What Anderson acceleration takes off the plain update, (b, c h w), zero where nothing is remembered."""
        newest = past[-1]
        if len(past) < 2:
            return torch.zeros_like(newest.x)
        pairs = list(pairwise(past))
        dx = torch.stack([_difference(before.first, before.x, now.first, now.x, newest) for before, now in pairs])
        dr = torch.stack(
            [_difference(before.first, before.residual, now.first, now.residual, newest) for before, now in pairs]
        )
        gram = torch.einsum("mbd,nbd->bmn", dr, dr).cumsum(0)
        right = torch.einsum("mbd,bd->bm", dr, newest.residual).cumsum(0)
        known = dr.square().sum(-1).T > 0  # (b, m): what a point has not lived through takes no part
        gram, right = gram * known[:, :, None] * known[:, None, :], right * known
        weights = torch.linalg.solve(gram + REGULARISATION * torch.eye(len(dr)).double(), right)
        return torch.einsum("mbd,bm->bd", dx + dr, weights)


def _difference(before_first: int, before: Tensor, now_first: int, now: Tensor, newest: Past) -> Tensor:
    """now - before at the points of the newest round, zero where either is unknown."""
    change = torch.zeros_like(newest.x)
    first = max(before_first, now_first, newest.first)
    last = min(before_first + len(before), now_first + len(now), newest.first + len(newest.x))
    if first < last:
        here = slice(first - newest.first, last - newest.first)
        now_part = now[first - now_first : last - now_first]
        change[here] = now_part - before[first - before_first : last - before_first]
    return change
