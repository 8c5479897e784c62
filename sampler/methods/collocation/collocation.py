"""The collocation trajectory: chooses at which grid points, and at which states, the network is evaluated.

Evaluations come in waves, which one round or several carry out. After each wave there is a whole image, and an estimate
of its error, at no further evaluation. The next wave holds, up to the width:

1. in the order of the grid: nodes whose state has moved by much since they were evaluated, and planned nodes;
2. once all planned ones were evaluated: what is estimated to add most to the image's error, old nodes and new ones in
   the gaps between them.

Planned are, at first, nodes about equidistant in the coordinate of the interpolation. If the sample has not converged
after many waves, all points are: the rest is then about the serial sampler.

A wave depends on earlier waves alone. So the image depends on the width, and not on what else is in the engine.
See `sampler.methods.collocation.nodes` for the mathematics.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sampler import tuning as shared
from sampler.methods.collocation import tuning
from sampler.methods.collocation.nodes import (
    Array,
    Indices,
    System,
    coordinate,
    influence,
    interpolation,
    response,
    solve,
    spread,
    states,
    uncertain,
)
from sampler.methods.serial import Serial
from sampler.solvers import LinearForm, Solver
from sampler.solvers.base import output_for_x0, x0_from
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory


@dataclass(slots=True)
class _Node:
    """A grid point where the network was evaluated.

    Attributes:
        y: (c, h, w) the state of the evaluation, without the solver's noise and what a mask keeps.
        image: (c, h, w) D, the image that the network predicted.
        slope: alpha times the slope of D along the last displacement; None if the node was evaluated once.
        miss: alpha times what the slope did not explain of D's change, over the displacement; None likewise.
    """

    y: Tensor
    image: Tensor
    slope: float | None = None
    miss: float | None = None


@dataclass(frozen=True, slots=True)
class _Outlook:
    """The state of affairs after a wave.

    Attributes:
        points: (m,) the nodes.
        system: solved for them.
        tensors: (1 + 2 m, c h w): the start, the images and the states of the nodes.
        image: (c, h, w) of point N.
        moved: (m,) displacements relative to the states.
        by_node, by_gap: (m,) parts of the relative error of the image: of the nodes, and of the gap after each.
    """

    points: Indices
    system: System
    tensors: Tensor
    image: Tensor
    moved: Array
    by_node: Array
    by_gap: Array


class Collocation(Trajectory):
    """The trajectory of one sample by collocation."""

    method = "collocation"

    def __init__(self, solver: Solver, noise: Tensor, *, width: int, tolerance: float) -> None:
        """Start from noise.

        Args:
            solver: the solver, with its grid of N steps.
            noise: (c, h, w), unit normal; also fixes the device.
            width: evaluations of a wave at most.
            tolerance: the accepted relative error of the image. With 0, with a solver that has no linear form, and at
                width 1 with hardly more steps than first nodes, the image is computed serially.

        Raises:
            ValueError: an argument out of range; the message names it.
        """
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be 1 or more, not {width}")
        if not tolerance >= 0:
            raise ValueError(f"tolerance must be 0 or more, not {tolerance}")
        self.width = width
        self.tolerance = tolerance
        self._solver = solver
        self._noise = noise
        self._arrived: dict[int, Tensor] = {}
        self._wave: dict[int, Tensor] = {}
        self._nodes: dict[int, _Node] = {}
        self._planned: list[int] = []
        self._waves = 0  # that were planned; rounds depend on what else is in the engine
        self._estimate = math.inf
        self._serial: Serial | None = None
        form = solver.linear
        if form is None or not pays(solver.grid.steps, width, tolerance):
            self._serial = Serial(solver, noise)
            return
        self._form: LinearForm = form
        self._known = response(form)
        self._start = solver.initial(noise)[0]
        self._at = coordinate(solver.grid)
        self._alpha = solver.grid.alpha.numpy().clip(min=tuning.ALPHA_FLOOR)
        self._level = np.log(self._alpha / solver.grid.sigma.numpy())
        self._kept = form.kept
        self._added = {0: torch.zeros_like(self._start)}
        if self._kept is not None:
            self._added[0] = (1 - self._kept.free) * self._start
            self._start = self._kept.free * self._start
        first = spread(self._at, first_nodes(tolerance))
        self._planned = first[width:]
        self._offer({point: float(self._known.phi[point]) * self._start for point in first[:width]})

    def offers(self) -> Iterator[Evaluation]:
        """See `Trajectory.offers`: what is left of the wave."""
        if self.status is not Status.RUNNING:
            return
        if self._serial:
            yield from self._serial.offers()
            return
        for point, x in self._wave.items():
            if point not in self._arrived:
                yield Evaluation(point, x, float(self._solver.grid.timestep[point]))

    def take(self, evaluations: Sequence[Evaluation], outputs: Tensor) -> list[Iterate]:
        """See `Trajectory.take`."""
        self.rounds += 1
        self.evaluations += len(evaluations)
        if self._serial:
            return self._take_serial(self._serial.take(evaluations, outputs))
        for evaluation, output in zip(evaluations, outputs, strict=True):
            self._arrived[evaluation.key] = output  # pyright: ignore[reportArgumentType]
        if len(self._arrived) < len(self._wave):
            return []
        self._keep(self._wave, self._arrived)
        return self._advance()

    def checkpoint(self) -> Checkpoint:
        """See `Trajectory.checkpoint`. Of an unfinished wave nothing is kept."""
        nodes = sorted(self._nodes)
        tensors = {"noise": self._noise}
        for point in nodes:
            tensors |= {f"{point}/y": self._nodes[point].y, f"{point}/image": self._nodes[point].image}
        tensors |= {f"wave/{point}": x for point, x in self._wave.items()}
        serial = self._serial.checkpoint() if self._serial else None
        if serial:
            tensors |= {f"serial/{name}": x for name, x in serial.tensors.items()}
        return self._checkpoint(
            tensors,
            edges=(0, self._solver.grid.steps),
            nodes=[(point, self._nodes[point].slope, self._nodes[point].miss) for point in nodes],
            planned=self._planned,
            waves=self._waves,
            wave=list(self._wave),
            estimate=self._estimate,
            serial=serial and serial.description,
        )

    @classmethod
    def resume(
        cls,
        solver: Solver,
        checkpoint: Checkpoint,
        *,
        width: int,
        tolerance: float,
        device: torch.device | str = "cpu",
    ) -> "Collocation":
        """Go on from a checkpoint; width and tolerance count from the next wave on.

        Raises:
            InvalidCheckpoint: another version or method, or a grid of another length.
        """
        checkpoint = checkpoint.on(device, (cls.method,), solver.grid.steps)
        tensors, about = checkpoint.tensors, checkpoint.description
        self = cls(solver, tensors["noise"], width=width, tolerance=tolerance)
        self._restore(checkpoint)
        self._nodes = {
            point: _Node(tensors[f"{point}/y"], tensors[f"{point}/image"], slope, miss)
            for point, slope, miss in about["nodes"]
        }
        self._planned, self._waves = about["planned"], about["waves"]
        self._wave = {point: tensors[f"wave/{point}"] for point in about["wave"]}
        if about["serial"]:
            own = {name.removeprefix("serial/"): x for name, x in tensors.items() if name.startswith("serial/")}
            self._serial = Serial.resume(solver, Checkpoint(own, about["serial"]), device=device)
        self._estimate = about["estimate"]
        if self._serial and self._serial.status is Status.EXACT:
            self._end(Status.EXACT)
        elif not self._wave and not self._serial:  # it had converged
            if self._estimate <= tolerance:
                self._end(_final(self._estimate))
            else:
                self._plan_wave(self._look())
        return self

    def _take_serial(self, iterates: list[Iterate]) -> list[Iterate]:
        """The serial sampler's iterates as ours."""
        shown: list[Iterate] = []
        for iterate in iterates:
            ended = Status.EXACT if iterate.error_estimate == 0 else None
            shown += self._show(iterate.sample, iterate.error_estimate, ended)
        return shown

    def _offer(self, wave: dict[int, Tensor]) -> None:
        """Plan a wave: states (c, h, w) by point, without noise."""
        self._waves += 1
        self._wave = {point: x + self._noise_at(point) for point, x in sorted(wave.items())}
        self._arrived = {}

    def _noise_at(self, point: int) -> Tensor:
        """(c, h, w) What is in the state at a point beside the linear form: the solver's noise, what a mask keeps."""
        if point in self._added:
            return self._added[point]
        if not self._form.noisy:
            return self._added[0] if self._kept is None else self._kept.at(self._solver.grid.visits[point])
        before = max(known for known in self._added if known < point)
        grid, x = self._solver.grid, self._added[before]
        alpha, sigma = grid.departs[before]
        output = output_for_x0(torch.zeros_like(x), x, alpha, sigma, self._solver.prediction)
        start, end = torch.tensor([before]), torch.tensor([point])
        self._added[point] = self._solver.step(x[None, None], output[None], start, end)[0, 0]
        return self._added[point]

    def _keep(self, wave: dict[int, Tensor], outputs: dict[int, Tensor]) -> None:
        """Keep a wave's outputs, and measure the slopes of nodes that were evaluated again."""
        slopes = self._slopes()
        again: list[tuple[int, float]] = []
        products: list[Tensor] = []
        for point, x in wave.items():
            image = x0_from(x, outputs[point], *self._solver.grid.departs[point], self._solver.prediction)
            if self._form.clip is not None:
                image = image.clamp(-self._form.clip, self._form.clip)
            if self._kept is not None:
                image = self._kept.free * image
            node = _Node(x - self._noise_at(point), image)
            if (old := self._nodes.get(point)) is not None:
                moved, change = node.y - old.y, node.image - old.image
                products.append(torch.stack([moved.square().sum(), (moved * change).sum(), change.square().sum()]))
                again.append((point, slopes[point]))
            self._nodes[point] = node
        if not again:
            return
        found: Array = torch.stack(products).double().cpu().numpy()
        for (point, used), row in zip(again, found, strict=True):
            square, along, change = (float(each) for each in row)
            if square > 0:
                node, alpha = self._nodes[point], float(self._alpha[point])
                node.slope = min(max(alpha * along / square, tuning.SLOPE_LOWEST), tuning.SLOPE_HIGHEST)
                node.miss = alpha * max(0.0, change / square - 2 * used * along / square + used**2) ** 0.5

    def _slopes(self) -> dict[int, float]:
        """The slope of D at each node: measured there, or that of Gaussian data with the deviation measured nearby."""
        measured = {point: node.slope for point, node in self._nodes.items() if node.slope is not None}
        slopes: dict[int, float] = {}
        for point in sorted(self._nodes):
            slope = measured.get(point)
            if slope is None:
                slope = self._gaussian(point)
                if measured:
                    near = min(measured, key=lambda other: (abs(self._level[other] - self._level[point]), other))
                    share = np.exp(-abs(self._level[near] - self._level[point]) / tuning.REACH)
                    slope += share * (measured[near] - self._gaussian(near))
            slopes[point] = float(slope / self._alpha[point])
        return slopes

    def _gaussian(self, point: int) -> float:
        """alpha times the slope of Gaussian data: v a^2 / (a^2 v + s^2)."""
        signal = tuning.VARIANCE * np.exp(2 * self._level[point])
        return float(signal / (1 + signal))

    def _misses(self, points: Indices) -> Array:
        """(m,) alpha times what slopes leave unexplained, over the displacement: as measured nearby, and a guess."""
        found = [(point, node.miss) for point, node in self._nodes.items() if node.miss is not None]
        if not found:
            return np.full(len(points), tuning.MISS)
        known, misses = np.array([point for point, _ in found]), np.array([miss for _, miss in found])
        weights = np.exp(-np.abs(self._level[points][:, None] - self._level[known]))
        return (tuning.MISS_WEIGHT * tuning.MISS + weights @ misses) / (tuning.MISS_WEIGHT + weights.sum(1))

    def _look(self) -> _Outlook:
        """Solve for the states, and estimate the parts of the image's error."""
        points = np.array(sorted(self._nodes))
        by_point = self._slopes()
        slopes = np.array([by_point[int(point)] for point in points])
        weights = interpolation(self._at, points, tuning.ORDER, tuning.TREND)
        system = solve(self._known, points, weights, slopes)
        steps = self._solver.grid.steps
        # An error is not counted upon to shrink more than it does with Gaussian data.
        gaussian = np.array([self._gaussian(point) / self._alpha[point] for point in points.tolist()])
        effect = influence(self._known, points, weights, np.maximum(slopes, gaussian))
        missed = effect[:, None] * uncertain(self._at, points, weights)
        ends = np.append(points[1:], steps)
        gaps = np.array([missed[start:end].sum(0) for start, end in zip(points, ends, strict=True)]) @ system.images
        rows = np.vstack([states(self._known, system, np.array([steps])), system.displaced, gaps])

        nodes = [self._nodes[int(point)] for point in points]
        tensors = torch.stack([self._start, *(node.image for node in nodes), *(node.y for node in nodes)]).flatten(1)
        combined = _combine(rows, tensors)
        image = (combined[0] + self._noise_at(steps).flatten()).reshape(self._start.shape)
        sizes = [each.square().sum(1).sqrt() for each in (image.flatten()[None], combined[1:], tensors)]
        norms: Array = torch.cat(sizes).double().cpu().numpy()
        size, moved, gap_norms = norms[0], *np.split(norms[1 : 1 + 2 * len(points)], 2)
        seen = np.abs(effect @ weights) * self._misses(points) * tuning.SEEN / self._alpha[points]
        return _Outlook(
            points,
            system,
            tensors,
            image,
            moved / norms[-len(points) :],
            seen * moved / size,
            gap_norms / size,
        )

    def _advance(self) -> list[Iterate]:
        """After a wave: show the image if that is worth it, and plan the next wave."""
        outlook = self._look()
        parts = np.append(outlook.by_gap, outlook.by_node)
        self._estimate = estimate = tuning.SAFETY * float(np.sqrt(np.square(parts).sum()))
        done = not self._planned and estimate <= self.tolerance
        shown = tuning.FIRST_SHOWN if self.newest is None else self.newest.error_estimate or 0.0
        worth = done or estimate <= tuning.SHOWN_EACH * shown
        iterates = self._show(outlook.image, estimate, _final(estimate) if done else None) if worth else []
        self._wave = {}
        if self.status is not Status.RUNNING:
            return iterates
        self._plan_wave(outlook)
        return iterates

    def _plan_wave(self, outlook: _Outlook) -> None:
        steps, points = self._solver.grid.steps, outlook.points.tolist()
        if self._waves == round(tuning.PATIENCE * steps):
            self._planned = sorted(set(range(steps)) - set(points))
        limit = tuning.DISPLACED * self.tolerance
        displaced = [point for point, moved in zip(points, outlook.moved, strict=True) if moved > limit]
        chosen = sorted([*displaced, *self._planned])[: self.width]
        if self._planned:
            self._planned = [point for point in self._planned if point not in chosen]
        else:
            parts = self._parts(outlook)
            least = tuning.LEAST * max(parts.values())
            ranked = sorted(parts, key=lambda point: (-parts[point], point))
            worth = [point for point in ranked if point not in chosen and parts[point] >= least]
            chosen += worth[: self.width - len(chosen)]
        wave = np.array(sorted(chosen))
        rows = states(self._known, outlook.system, wave)
        samples = _combine(rows, outlook.tensors).reshape(-1, *self._start.shape)
        self._offer(dict(zip(wave.tolist(), samples, strict=True)))

    def _parts(self, outlook: _Outlook) -> dict[int, float]:
        """The parts of the image's error by the point that would mend them: the node, or the middle of the gap."""
        points = outlook.points.tolist()
        parts = dict(zip(points, outlook.by_node.tolist(), strict=True))
        ends = [*points[1:], self._solver.grid.steps]
        for start, end, part in zip(points, ends, outlook.by_gap.tolist(), strict=True):
            if end - start > 1:
                parts[start + (end - start) // 2] = part
        return parts


def _final(estimate: float) -> Status:
    return Status.EXACT if estimate == 0 else Status.CONVERGED


def _combine(rows: Array, tensors: Tensor) -> Tensor:
    """(r, c h w) Linear combinations of the tensors (k, c h w), by rows (r, k)."""
    return torch.tensor(rows).to(tensors) @ tensors


def pays(steps: int, width: int, tolerance: float) -> bool:
    """Whether collocation can be expected to finish before the serial sampler."""
    return tolerance > 0 and (width > 1 or first_nodes(tolerance) < shared.WORTHWHILE * steps)


def first_nodes(tolerance: float) -> int:
    """The number of nodes that are evaluated in any case, if the grid has so many points."""
    return max(tuning.FEWEST_NODES, round(tuning.FIRST_NODES * tolerance ** (-1 / 3)))
