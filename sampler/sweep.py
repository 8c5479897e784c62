"""A sliding-window sweep along the grid: Parareal whose coarse propagator costs no evaluation.

F is one fine step. G is the same step with the network's output frozen at its last value but for a scalar slope: where
the network said o of y, it is taken to say `o + c (z - y)` of z near y. Point `frontier` is exact; the points of the
window after it are predicted. A round evaluates them all, then

    z[frontier] = y[frontier],   z[j+1] = step(z[j], o[j] + c[j] (z[j] - y[j]))

and the window slides past the points that were evaluated close enough to where they came to lie, at least past one: so
the sweep is never slower than the serial sampler, and with tolerance 0 it is the serial sampler. New points are
predicted from what the round said of x0, carried on in log(alpha / sigma). With slope 0 in eps and stale instead of
predicted points this is the Picard window of ParaDiGMS (Shih et al. 2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sampler.grid import Grid
from sampler.solvers import DDIM, Prediction, predictions

# What sigma * d eps / d x is taken for where nothing is known yet, and how far it is trusted where it was measured.
THETA, LOWEST, HIGHEST = 0.3, -1.0, 3.0
# How much of the change of x0 across a round's points is carried on to the points after them.
CARRY = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one grid point.

    Attributes:
        x: (c, h, w), where the network was asked last.
        output: (c, h, w), what it said.
        theta: sigma * d eps / d x along the way that the point moved.
    """

    x: Tensor
    output: Tensor
    theta: float


class Sweep:
    """The window algorithm over one grid: a state machine that asks for evaluations and takes outputs.

    Attributes:
        frontier: the first point that is not known to the tolerance's accuracy; N when all are.
        x: the states at the frontier and at the predicted points after it, (c, h, w) each, by point.
        seen: the points that were evaluated, by point, until `forget`.
        drift: the farthest that an accepted state lay from where its output was taken, RMS over the noise's.
    """

    def __init__(self, solver: DDIM, start: Tensor, *, width: int, tolerance: float) -> None:
        self.solver = solver
        self.width = width
        self.tolerance = tolerance
        self.frontier = 0
        self.x: dict[int, Tensor] = {0: start}
        self.seen: dict[int, Seen] = {}
        self.drift = 0.0

    @property
    def done(self) -> bool:
        """Whether the last point is known; `x[N]` is the image then."""
        return self.frontier == self.solver.grid.steps

    def ready(self) -> list[int]:
        """The points to evaluate in the next round, at most `width`, first ones first."""
        last = min(self.frontier + self.width, self.solver.grid.steps)
        return [point for point in range(self.frontier, last) if point in self.x]

    def take(self, points: Sequence[int], outputs: Tensor) -> None:
        """Take the outputs (b, c, h, w) of the first `points` that were ready, in their order."""
        self._see(points, outputs)
        z, accepted = {points[0]: self.x[points[0]]}, points[0] + 1
        for point in points:
            away = self._drift(point, z[point])
            if accepted == point and away <= self.tolerance:
                accepted, self.drift = point + 1, max(self.drift, away)
            z[point + 1] = self.step(z[point], point, point + 1)
        self.frontier = accepted
        self._predict(z, points[0], points[-1])
        self.x = {point: state for point, state in z.items() if point >= self.frontier}

    def forget(self) -> None:
        """Drop what was seen of points that are never asked again: those before the last one that was accepted."""
        self.seen = {point: seen for point, seen in self.seen.items() if point >= self.frontier - 1}

    def step(self, z: Tensor, point: int, end: int) -> Tensor:
        """From `z` at a point that was seen to the point `end`, with the output to expect at `z`."""
        return _step(self.solver, z, self._output(z, point), point, end)

    def _predict(self, z: dict[int, Tensor], first: int, newest: int) -> None:
        """Add to `z` the points of the window that lie after `newest + 1`."""
        grid = self.solver.grid
        image = replace(self.solver, prediction="sample")
        ratio = (grid.alpha / grid.sigma).log()
        x0, before = self._x0(z[newest], newest), self._x0(z[first], first)
        for point in range(newest + 1, min(self.frontier + self.width, grid.steps) - 1):
            expected = x0
            if newest > first:  # at point 0 the logarithm may be -inf, and nothing is carried on from there
                ahead = float((ratio[point] - ratio[newest]) / (ratio[newest] - ratio[first]))
                expected = x0 + CARRY * ahead * (x0 - before)
            z[point + 1] = _step(image, z[point], expected, point, point + 1)

    def _output(self, z: Tensor, point: int) -> Tensor:
        seen, grid = self.seen[point], self.solver.grid
        if z is seen.x:  # as always at the frontier, where alpha may be 0
            return seen.output
        alpha, sigma = float(grid.alpha[point]), float(grid.sigma[point])
        return seen.output + slope(seen.theta, alpha, sigma, self.solver.prediction) * (z - seen.x)

    def _x0(self, z: Tensor, point: int) -> Tensor:
        grid = self.solver.grid
        alpha, sigma = grid.alpha[point].to(z), grid.sigma[point].to(z)
        return predictions(z, self._output(z, point), alpha, sigma, self.solver.prediction)[0]

    def _see(self, points: Sequence[int], outputs: Tensor) -> None:
        for point, output in zip(points, outputs, strict=True):
            x = self.x[point]
            before = self.seen.get(point)
            inherited = self.seen.get(point - 1)
            theta = inherited.theta if inherited else THETA
            if before is not None:
                theta = secant(self.solver, point, Seen(x, output, 0.0), before)
            self.seen[point] = Seen(x, output, theta)

    def _drift(self, point: int, z: Tensor) -> float:
        """RMS of the way from where the output was taken to `z`, over that of the noise at the point."""
        return float((z - self.seen[point].x).square().mean().sqrt()) / float(self.solver.grid.sigma[point])


def _step(solver: DDIM, x: Tensor, output: Tensor, point: int, end: int) -> Tensor:
    return solver.step(x[None, None], output[None], torch.tensor([point]), torch.tensor([end]))[0, 0]


def secant(solver: DDIM, point: int, now: Seen, before: Seen) -> float:
    """Theta from a point's last two evaluations: sigma <d eps, d x> / <d x, d x>, within bounds."""
    grid: Grid = solver.grid
    alpha, sigma = grid.alpha[point].to(now.x), grid.sigma[point].to(now.x)
    dx = now.x - before.x
    square = float(dx.square().sum())
    if square == 0 or float(alpha) == 0:
        return before.theta
    eps = [predictions(seen.x, seen.output, alpha, sigma, solver.prediction)[1] for seen in (now, before)]
    theta = float(sigma * ((eps[0] - eps[1]) * dx).sum()) / square
    return min(max(theta, LOWEST), HIGHEST)


def slope(theta: float, alpha: float, sigma: float, kind: Prediction) -> float:
    """d output / d x where d eps / d x = theta / sigma, for each kind of output (see `sampler.solvers.predictions`)."""
    if kind == "epsilon":
        return theta / sigma
    if kind == "v_prediction":
        return (theta / sigma - sigma) / alpha
    if kind == "velocity":
        return (theta / sigma - 1) / alpha
    return (1 - theta) / alpha
