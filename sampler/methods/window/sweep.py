"""A sliding-window sweep along the grid: Parareal with a coarse propagator that costs no evaluation.

F is one fine step. G is the same step with a linearised model: output(z) = o + c (z - y) near the state y at which the
network returned o, with a scalar slope c. Point `frontier` is exact; the points of the window after it are predicted.
A round evaluates them all, then

    z[frontier] = y[frontier],   z[j+1] = step(z[j], o[j] + c[j] (z[j] - y[j]))

and the window slides past the points whose z lies within the tolerance of the state y that was evaluated, at least past
one: the sweep is never slower than the serial sampler, and with tolerance 0 it is the serial sampler.

New points are predicted when they are needed, from x0: that of the round's last point, plus an expected change. A sweep
over fewer points that is ahead (the guide) gives the change, times a scalar; without one it is a part of the trend over
the round, in log(alpha / sigma). With slope 0 in eps and stale instead of predicted points this is the Picard window of
ParaDiGMS (Shih et al. 2023). States are the solver's (m, c, h, w), with the history of a multistep solver.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sampler.grid import Grid, Level
from sampler.methods.window import tuning
from sampler.solvers import Prediction, Solver
from sampler.solvers.base import broadcastable, eps_from, output_for_x0, x0_from
from sampler.vectors import projection


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The newest evaluation at a point.

    Attributes:
        x: (m, c, h, w), the state at which the network was evaluated.
        output: (c, h, w), of the network.
        theta: sigma * d eps / d x, in the direction in which the state moved.
    """

    x: Tensor
    output: Tensor
    theta: float


@dataclass(frozen=True, slots=True)
class Span:
    """The points of a round.

    Attributes:
        first, last: the first and the last point.
        x: (m, c, h, w), the state at the last point after the round.
    """

    first: int
    last: int
    x: Tensor


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """The expected x0 beyond a span.

    Attributes:
        x0: (c, h, w), at the span's last point.
        change: from there to a grid point (0 to N), (c, h, w).
    """

    x0: Tensor
    change: Callable[[int], Tensor]


class Sweep:
    """The window algorithm over some points of a grid: a state machine that asks for evaluations and takes outputs.

    Attributes:
        points: the grid points that are visited, from 0 to N. Everything else counts these, from 0 on.
        frontier: the first point that is not accepted yet; the last point when the sweep is done.
        x: the states at the frontier and at the predicted points after it, (m, c, h, w) each, by point.
        span: of the latest round; None before the first one.
        evaluated: by point; without the points that `forget` dropped.
        deviation: the largest distance of an accepted state from the state that was evaluated, RMS over the noise's.
    """

    def __init__(
        self,
        solver: Solver,
        start: Tensor,
        *,
        width: int,
        tolerance: float,
        points: Sequence[int] | None = None,
        guide: "Sweep | None" = None,
    ) -> None:
        """Start from the state `start` (m, c, h, w) at point 0; `points` are all grid points by default."""
        self.solver = solver
        self.guide = guide
        self.points = points or range(solver.grid.steps + 1)
        self._at = [torch.tensor([point]) for point in self.points]
        self.width = width
        self.tolerance = tolerance
        self.frontier = 0
        self.x: dict[int, Tensor] = {0: start}
        self.evaluated: dict[int, Evaluated] = {}
        self.deviation = 0.0
        self.span: Span | None = None
        # Made when it is first needed after a round. It must not refer to this sweep: a reference cycle would keep all
        # states in memory until the garbage collector runs.
        self._beyond: Extrapolation | None = None

    @property
    def done(self) -> bool:
        """Whether the last point is known."""
        return self.frontier == self.last

    @property
    def last(self) -> int:
        """The point of the image."""
        return len(self.points) - 1

    @property
    def newest(self) -> int:
        """The last point that was evaluated."""
        return max(self.evaluated)

    def ready(self) -> Iterator[int]:
        """The points to evaluate in the next round, at most `width`, first ones first. Each is predicted when it is
        asked for."""
        for point in range(self.frontier, min(self.frontier + self.width, self.last)):
            if point not in self.x:
                if self.span is None:
                    return
                self.predict_to(point)
            yield point

    def predict_to(self, point: int) -> None:
        """Predict the states up to a point; there has been a round."""
        assert self.span is not None
        if self._beyond is None:
            self._beyond = self._extrapolation(self.span)
        for start in range(max(self.x), point):
            x0 = self._beyond.x0 + self._beyond.change(self.points[start])
            output = output_for_x0(x0, self.x[start][0], *self._level(start), self.solver.prediction)
            self.x[start + 1] = self._step(self.x[start], output, start, start + 1)

    def take(self, points: Sequence[int], outputs: Tensor) -> None:
        """Take the outputs (b, c, h, w) of the first `points` that were ready, in their order."""
        self._note(points, outputs)
        z = {points[0]: self.x[points[0]]}
        for point in points:
            z[point + 1] = self.step(z[point], point, point + 1)
        self.frontier = points[0] + 1
        for point, deviation in zip(points[1:], self._deviations(points[1:], z), strict=True):
            if not deviation <= self.tolerance:
                break
            self.frontier, self.deviation = point + 1, max(self.deviation, deviation)
        self.x = {point: state for point, state in z.items() if point >= self.frontier}
        self.span = Span(points[0], points[-1], z[points[-1]])
        self._beyond = None

    def adopt(self, point: int, evaluated: Evaluated) -> None:
        """Use another sweep's evaluation at a point, unless there is one: the secant's first end at that point."""
        self.evaluated.setdefault(point, evaluated)

    def forget(self) -> None:
        """Drop the evaluations before the latest round, which are not needed any more."""
        self.evaluated = {
            point: evaluated
            for point, evaluated in self.evaluated.items()
            if self.span is None or point >= self.span.first
        }

    def step(self, z: Tensor, point: int, end: int, theta: float | None = None) -> Tensor:
        """From the state `z` at an evaluated point to the point `end`, with the linearised output at `z`; with the
        slope `theta`, if it is given."""
        return self._step(z, self._output(z, point, theta), point, end)

    def x0_curve(self) -> Callable[[int], Tensor]:
        """x0 (c, h, w) by grid point (0 to N), from the evaluations so far: interpolated linearly in log(alpha / sigma)
        between them, constant after the last one."""
        known = sorted(self.evaluated)

        @cache
        def x0_of(point: int) -> Tensor:
            return self._x0(self.evaluated[point].x, point)

        def x0_at(at: int) -> Tensor:
            above = min(bisect_left(known, at, key=self.points.__getitem__), len(known) - 1)
            below, above = known[max(above - 1, 0)], known[above]
            low, here, high = (
                half_log_snr(self.solver.grid, point) for point in (self.points[below], at, self.points[above])
            )
            if here >= high or low == -math.inf:
                return x0_of(above)
            return torch.lerp(x0_of(below), x0_of(above), (here - low) / (high - low))

        return x0_at

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything to go on from: tensors, and what JSON can carry."""
        tensors = {f"{point}/x": x for point, x in self.x.items()}
        if self.span:
            tensors[f"{self.span.last}/span"] = self.span.x
        for point, evaluated in self.evaluated.items():
            tensors |= {f"{point}/seen": evaluated.x, f"{point}/output": evaluated.output}
        return tensors, {
            "frontier": self.frontier,
            "span": self.span and (self.span.first, self.span.last),
            "thetas": {str(point): evaluated.theta for point, evaluated in self.evaluated.items()},
            "deviation": self.deviation,
        }

    def restore(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Take back what `checkpoint` returned."""
        self.frontier, self.deviation = about["frontier"], about["deviation"]
        states = [key.split("/") for key in tensors]
        self.x = {int(point): tensors[f"{point}/x"] for point, what in states if what == "x"}
        self.evaluated = {
            int(point): Evaluated(tensors[f"{point}/seen"], tensors[f"{point}/output"], theta)
            for point, theta in about["thetas"].items()
        }
        if about["span"]:
            first, last = about["span"]
            self.span = Span(first, last, tensors[f"{last}/span"])

    def _step(self, z: Tensor, output: Tensor, point: int, end: int) -> Tensor:
        return self.solver.step(z[None], output[None], self._at[point], self._at[end])[0]

    def _extrapolation(self, span: Span) -> Extrapolation:
        grid, guide = self.solver.grid, self.guide
        first, last = self.points[span.first], self.points[span.last]
        x0 = self._x0(span.x, span.last)
        changed = x0 - self._x0(self.evaluated[span.first].x, span.first)
        if guide and guide.points[guide.newest] > last:
            curve = guide.x0_curve()
            guide_x0 = curve(last)
            scale = projection(changed, guide_x0 - curve(first))
            return Extrapolation(x0, lambda at: scale * (curve(at) - guide_x0))
        start, here = half_log_snr(grid, first), half_log_snr(grid, last)
        if here > start > -math.inf:
            return Extrapolation(
                x0, lambda at: tuning.TREND * (half_log_snr(grid, at) - here) / (here - start) * changed
            )
        # One point has no trend, and from point 0 log(alpha / sigma) may start at -inf.
        return Extrapolation(x0, lambda _: torch.zeros_like(changed))

    def _level(self, point: int) -> Level:
        """(alpha, sigma) on departure from a point."""
        return self.solver.grid.departs[self.points[point]]

    def _output(self, z: Tensor, point: int, theta: float | None = None) -> Tensor:
        """The linearised output at `z`, (c, h, w)."""
        evaluated = self.evaluated[point]
        if z is evaluated.x:  # as always at the frontier, where alpha may be 0
            return evaluated.output
        theta = evaluated.theta if theta is None else theta
        c = slope(theta, *self._level(point), self.solver.prediction)
        return torch.add(evaluated.output, z[0] - evaluated.x[0], alpha=c)

    def _x0(self, z: Tensor, point: int) -> Tensor:
        return x0_from(z[0], self._output(z, point), *self._level(point), self.solver.prediction)

    def _note(self, points: Sequence[int], outputs: Tensor) -> None:
        now = dict(zip(points, outputs, strict=True))
        again = [point for point in points if point in self.evaluated]
        measured = secants(
            self.solver,
            [self.points[point] for point in again],
            [(self.x[point][0], now[point]) for point in again],
            [self.evaluated[point] for point in again],
        )
        thetas = dict(zip(again, measured, strict=True))
        for point, output in now.items():
            theta = thetas.get(point)
            if theta is None:
                # That of the previous point, if any theta was measured.
                previous = self.evaluated.get(point - 1) if thetas else None
                theta = previous.theta if previous else gaussian(*self._level(point))
            self.evaluated[point] = Evaluated(self.x[point], output, theta)

    def _deviations(self, points: Sequence[int], z: Mapping[int, Tensor]) -> list[float]:
        """The distance of `z` from the state that was evaluated at each point, RMS over that of the noise there."""
        if not points:
            return []
        away = torch.stack([z[point][0] - self.evaluated[point].x[0] for point in points])
        rms = away.square().mean((1, 2, 3)).sqrt().cpu().numpy().tolist()
        return [one / self._level(point)[1] for one, point in zip(rms, points, strict=True)]


def half_log_snr(grid: Grid, at: int) -> float:
    """log(alpha / sigma) at a grid point; -inf if alpha is 0."""
    alpha, sigma = grid.departs[at]
    return math.log(alpha / sigma) if alpha else -math.inf


def gaussian(alpha: float, sigma: float) -> float:
    """theta of the exact denoiser of Gaussian data with variance `tuning.VARIANCE`: 1 in pure noise, 0 at the image."""
    return sigma**2 / (alpha**2 * tuning.VARIANCE + sigma**2)


def secants(
    solver: Solver, points: Sequence[int], now: Sequence[tuple[Tensor, Tensor]], previous: Sequence[Evaluated]
) -> list[float]:
    """Theta at each grid point, within bounds, from its last two evaluations: sigma <d eps, d x> / <d x, d x>.

    Args:
        solver: with its grid.
        points: grid points.
        now: the newest sample and output at each, (c, h, w) each.
        previous: the evaluation before it.
    """
    if not points:
        return []
    x, output = map(torch.stack, zip(*now, *((each.x[0], each.output) for each in previous), strict=True))
    grid, at = solver.grid, list(points) * 2
    eps = eps_from(x, output, broadcastable(grid.alpha[at], x), broadcastable(grid.sigma[at], x), solver.prediction)
    dx, deps = (part[: len(points)] - part[len(points) :] for part in (x, eps))
    sums = torch.stack([(deps * dx).sum((1, 2, 3)), dx.square().sum((1, 2, 3))], 1).cpu()
    thetas: list[float] = []
    for point, before, pair in zip(points, previous, sums, strict=True):
        (alpha, sigma), product, square = grid.departs[point], float(pair[0]), float(pair[1])
        theta = sigma * product / square if square > 0 and alpha > 0 else before.theta
        thetas.append(min(max(theta, tuning.THETA_LOWEST), tuning.THETA_HIGHEST))
    return thetas


def slope(theta: float, alpha: float, sigma: float, kind: Prediction) -> float:
    """d output / d x for d eps / d x = theta / sigma, for each kind of output (see `sampler.solvers.predictions`)."""
    if kind == "epsilon":
        return theta / sigma
    if kind == "v_prediction":
        return (theta / sigma - sigma) / alpha
    if kind == "velocity":
        return (theta / sigma - 1) / alpha
    return (1 - theta) / alpha
