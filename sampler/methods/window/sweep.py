"""A sliding-window sweep along the grid: Parareal whose coarse propagator costs no evaluation.

F is one fine step. G is the same step with the network's output frozen at its last value but for a scalar slope: where
the network said o of y, it is taken to say `o + c (z - y)` of z near y. Point `frontier` is exact; the points of the
window after it are predicted. A round evaluates them all, then

    z[frontier] = y[frontier],   z[j+1] = step(z[j], o[j] + c[j] (z[j] - y[j]))

and the window slides past the points that were evaluated close enough to where they came to lie, at least past one: so
the sweep is never slower than the serial sampler, and with tolerance 0 it is the serial sampler. New points are
predicted, when they are asked for, from what the round said of x0, which is carried on as a sweep over fewer points
that is ahead (the guide) saw it change, or by half of its trend in log(alpha / sigma). With slope 0 in eps and stale
instead of predicted points this is the Picard window of ParaDiGMS (Shih et al. 2023). States are the solver's
(m, c, h, w): the history of a multistep solver goes along.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from sampler.grid import Grid, Level
from sampler.methods.srds.correction import along
from sampler.methods.window import tuning
from sampler.solvers import Prediction, Solver
from sampler.solvers.base import like, noise_in, predicted, saying


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one point.

    Attributes:
        x: (m, c, h, w), the state where the network was asked last.
        output: (c, h, w), what it said.
        theta: sigma * d eps / d x along the way that the point moved.
    """

    x: Tensor
    output: Tensor
    theta: float


@dataclass(frozen=True, slots=True)
class Span:
    """What a round went over.

    Attributes:
        first, last: its points, from the first to the last.
        x: (m, c, h, w), where the last one came to lie.
    """

    first: int
    last: int
    x: Tensor


class Sweep:
    """The window algorithm over some points of a grid: a state machine that asks for evaluations and takes outputs.

    Attributes:
        points: the grid points that are visited, from 0 to N; all others count these from 0 on.
        frontier: the first point that is not known to the tolerance's accuracy; the last one when all are.
        x: the states at the frontier and at the predicted points after it, (m, c, h, w) each, by point.
        span: of the latest round, which the points after it are predicted from; None before there was one.
        seen: the points that were evaluated, by point, until `forget`.
        drift: the farthest that an accepted state lay from where its output was taken, RMS over the noise's.
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
        self.solver = solver
        self.guide = guide
        self.points = points or range(solver.grid.steps + 1)
        self._at = [torch.tensor([point]) for point in self.points]
        self.width = width
        self.tolerance = tolerance
        self.frontier = 0
        self.x: dict[int, Tensor] = {0: start}
        self.seen: dict[int, Seen] = {}
        self.drift = 0.0
        self.span: Span | None = None
        self._ahead = self._predict()

    @property
    def done(self) -> bool:
        """Whether the last point is known; the first entry of its state is the image then."""
        return self.frontier == self.last

    @property
    def last(self) -> int:
        """The point of the image."""
        return len(self.points) - 1

    def ready(self) -> Iterator[int]:
        """The points to evaluate in the next round, at most `width`, first ones first; each is predicted when it is
        asked for."""
        for point in range(self.frontier, min(self.frontier + self.width, self.last)):
            if point not in self.x and next(self._ahead, None) is None:
                return
            yield point

    def take(self, points: Sequence[int], outputs: Tensor) -> None:
        """Take the outputs (b, c, h, w) of the first `points` that were ready, in their order."""
        self._see(points, outputs)
        z = {points[0]: self.x[points[0]]}
        for point in points:
            z[point + 1] = self.step(z[point], point, point + 1)
        self.frontier = points[0] + 1
        for point, away in zip(points[1:], self._drifts(points[1:], z), strict=True):
            if not away <= self.tolerance:
                break
            self.frontier, self.drift = point + 1, max(self.drift, away)
        self.x = {point: state for point, state in z.items() if point >= self.frontier}
        self.span = Span(points[0], points[-1], z[points[-1]])
        self._ahead = self._predict()

    def forget(self) -> None:
        """Drop what was seen of points before the latest round, which nothing needs any more."""
        self.seen = {point: seen for point, seen in self.seen.items() if self.span is None or point >= self.span.first}

    def stop(self) -> None:
        """Predict nothing more. What predicts holds this sweep as the sweep holds it: its states would stay in memory
        until Python looks for such circles."""
        self._ahead = iter(())

    def step(self, z: Tensor, point: int, end: int, theta: float | None = None) -> Tensor:
        """From the state `z` at a point that was seen to the point `end`, with the output to expect at `z`; by the
        slope `theta`, where it is given."""
        return self._step(z, self._output(z, point, theta), point, end)

    def _step(self, z: Tensor, output: Tensor, point: int, end: int) -> Tensor:
        return self.solver.step(z[None], output[None], self._at[point], self._at[end])[0]

    def x0_curve(self) -> Callable[[int], Tensor]:
        """What was said of x0, (c, h, w), by grid point: between points that were evaluated by log(alpha / sigma),
        after the last of them as there."""
        seen = sorted(self.seen)

        @cache
        def said(point: int) -> Tensor:
            return self._x0(self.seen[point].x, point)

        def x0_at(at: int) -> Tensor:
            above = min(bisect_left(seen, at, key=self.points.__getitem__), len(seen) - 1)
            below, above = seen[max(above - 1, 0)], seen[above]
            low, here, high = (_log(self.solver.grid, point) for point in (self.points[below], at, self.points[above]))
            if here >= high or low == -math.inf:
                return said(above)
            return torch.lerp(said(below), said(above), (here - low) / (high - low))

        return x0_at

    def _predict(self) -> Iterator[int]:
        """Add to `x`, one by one, the points after those that are there, by the x0 to expect at each before."""
        if self.span is None:
            return
        ahead, first, newest = range(max(self.x), self.last), self.span.first, self.span.last
        x0 = self._x0(self.span.x, newest)
        changes = self._changes(ahead, first, newest, x0 - self._x0(self.seen[first].x, first))
        for point, change in zip(ahead, changes, strict=True):
            output = saying(x0 + change, self.x[point][0], *self._level(point), self.solver.prediction)
            self.x[point + 1] = self._step(self.x[point], output, point, point + 1)
            yield point + 1

    def _changes(self, ahead: Sequence[int], first: int, newest: int, changed: Tensor) -> Iterator[Tensor]:
        """How x0 is expected to change from `newest` to each of the points `ahead`, where from `first` to `newest` it
        has `changed` so."""
        guide = self.guide
        if guide and guide.points[max(guide.seen)] > self.points[newest]:
            x0_at = guide.x0_curve()
            here = x0_at(self.points[newest])
            scale = along(changed, here - x0_at(self.points[first])).clamp(tuning.GUIDE_LOWEST, tuning.GUIDE_HIGHEST)
            yield from (scale * (x0_at(self.points[point]) - here) for point in ahead)
        else:
            start, here, *log = (_log(self.solver.grid, self.points[point]) for point in (first, newest, *ahead))
            # From point 0, where it may be -inf, nothing is carried on.
            known = here > start > -math.inf
            yield from (
                tuning.TREND * (there - here) / (here - start) * changed if known else 0 * changed for there in log
            )

    def _level(self, point: int) -> Level:
        """(alpha, sigma) on departure from a point."""
        return self.solver.grid.departs[self.points[point]]

    def _output(self, z: Tensor, point: int, theta: float | None = None) -> Tensor:
        seen = self.seen[point]
        if z is seen.x:  # as always at the frontier, where alpha may be 0
            return seen.output
        theta = seen.theta if theta is None else theta
        rises = slope(theta, *self._level(point), self.solver.prediction)
        return torch.add(seen.output, z[0] - seen.x[0], alpha=rises)

    def _x0(self, z: Tensor, point: int) -> Tensor:
        return predicted(z[0], self._output(z, point), *self._level(point), self.solver.prediction)

    def _see(self, points: Sequence[int], outputs: Tensor) -> None:
        now = dict(zip(points, outputs, strict=True))
        again = [point for point in points if point in self.seen]
        measured = secants(
            self.solver,
            [self.points[point] for point in again],
            [(self.x[point][0], now[point]) for point in again],
            [self.seen[point] for point in again],
        )
        thetas = dict(zip(again, measured, strict=True))
        for point, output in now.items():
            theta = thetas.get(point)
            if theta is None:
                # That of the point before it, once any was measured.
                before = self.seen.get(point - 1) if thetas else None
                theta = before.theta if before else gaussian(*self._level(point))
            self.seen[point] = Seen(self.x[point], output, theta)

    def _drifts(self, points: Sequence[int], z: Mapping[int, Tensor]) -> list[float]:
        """RMS of the way from where each output was taken to `z`, over that of the noise at the point."""
        if not points:
            return []
        away = torch.stack([z[point][0] - self.seen[point].x[0] for point in points]).square().mean((1, 2, 3)).sqrt()
        return [one / self._level(point)[1] for one, point in zip(away.cpu().numpy().tolist(), points, strict=True)]


def _log(grid: Grid, at: int) -> float:
    """log(alpha / sigma) at a grid point; -inf where alpha is 0."""
    alpha, sigma = grid.departs[at]
    return math.log(alpha / sigma) if alpha else -math.inf


def gaussian(alpha: float, sigma: float) -> float:
    """sigma * d eps / d x of the exact denoiser of Gaussian data with `VARIANCE`: 1 in pure noise, 0 at the image."""
    return sigma**2 / (alpha**2 * tuning.VARIANCE + sigma**2)


def secants(
    solver: Solver, points: Sequence[int], now: Sequence[tuple[Tensor, Tensor]], before: Sequence[Seen]
) -> list[float]:
    """Theta at each grid point from its last two evaluations (`now`: sample and output, (c, h, w) each):
    sigma <d eps, d x> / <d x, d x>, within bounds."""
    if not points:
        return []
    x, output = map(torch.stack, zip(*now, *((seen.x[0], seen.output) for seen in before), strict=True))
    grid, at = solver.grid, list(points) * 2
    eps = noise_in(x, output, like(grid.alpha[at], x), like(grid.sigma[at], x), solver.prediction)
    dx, deps = (part[: len(points)] - part[len(points) :] for part in (x, eps))
    sums = torch.stack([(deps * dx).sum((1, 2, 3)), dx.square().sum((1, 2, 3))], 1).cpu()
    thetas: list[float] = []
    for point, last, pair in zip(points, before, sums, strict=True):
        (alpha, sigma), along, square = grid.departs[point], float(pair[0]), float(pair[1])
        theta = sigma * along / square if square > 0 and alpha > 0 else last.theta
        thetas.append(min(max(theta, tuning.THETA_LOWEST), tuning.THETA_HIGHEST))
    return thetas


def slope(theta: float, alpha: float, sigma: float, kind: Prediction) -> float:
    """d output / d x where d eps / d x = theta / sigma, for each kind of output (see `sampler.solvers.predictions`)."""
    if kind == "epsilon":
        return theta / sigma
    if kind == "v_prediction":
        return (theta / sigma - sigma) / alpha
    if kind == "velocity":
        return (theta / sigma - 1) / alpha
    return (1 - theta) / alpha
