"""The window trajectory: for narrow rounds, in which refining far blocks from wrong starts wastes most evaluations.

First the coarse grid of about sqrt(N) points is swept: iterate 0. Then the fine grid is swept. Each time another part
of it is known, the rest is predicted from the coarse grid's outputs, which costs no evaluation: the next iterate. The
last iterate is the image. See `sampler.methods.window.sweep` for the algorithm.

If a round costs the same at any width, the fine sweep uses the room that the coarse sweep leaves
(`preview_first=False`), and if it overtakes the coarse sweep, its own iterates come first. If width costs time, the
fine window is as wide as pays (`cost`).
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor

from sampler.cost import Curve, flat, has_room
from sampler.grid import block_edges, root_blocks
from sampler.methods.window import tuning
from sampler.methods.window.sweep import Span, Sweep
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory


class Window(Trajectory):
    """The sliding-window trajectory of one sample."""

    method = "window"

    def __init__(
        self,
        solver: Solver,
        noise: Tensor,
        *,
        width: int,
        tolerance: float = 0.0,
        preview: bool = True,
        blocks: int | Sequence[int] | None = None,
        preview_first: bool = True,
        shown: int = tuning.SHOWN,
        slots: int | None = None,
        cost: Curve = flat,
    ) -> None:
        """Start from noise.

        Args:
            solver: the fine solver, with its grid of N steps.
            noise: (c, h, w), unit normal; also fixes the device of all states.
            width: evaluations a round that this sample asks for at most.
            tolerance: the accepted distance between a point's final state and the state at which it was evaluated, RMS
                over that of the noise there; 0 is the serial sampler. On the shipped model the relative error of the
                image is at most about a tenth of it.
            preview: whether to sweep the coarse grid; without it the image is the only iterate.
            blocks: the number of steps of the coarse grid, or their lengths in fine steps; None for
                `crowded(N, sqrt(N))`.
            preview_first: whether the coarse grid is swept alone, before anything else is offered.
            shown: the number of parts in which the fine grid is shown: one iterate for each part that becomes known.
            slots: evaluations a round that it is expected to get at first, and its width then; None for `width`.
            cost: of a round by its width. The width is halved if the window gains less than the serial sampler would
                in the same time, and doubled, up to `width`, while all of its points are accepted. It is 1 while the
                window has lost more than the share `LOSS` of the serial sampler's time, half of which it may lose at
                once and half on the way.

        Raises:
            ValueError: an argument out of range; the message names it.
        """
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be 1 or more, not {width}")
        if not tolerance >= 0:
            raise ValueError(f"tolerance must be 0 or more, not {tolerance}")
        start = solver.initial(noise)
        steps = solver.grid.steps
        self.edges = block_edges(steps, blocks or crowded(steps, root_blocks(steps)))
        self.width = width
        self.preview_first = preview_first
        self._cost = cost
        narrow = max(1, min(width, len(self.edges) // tuning.COARSE_POINTS)) if has_room(cost, 2) else 1
        self._coarse = Sweep(solver, start, width=narrow, tolerance=tuning.COARSE_TOLERANCE, points=self.edges)
        guide = self._coarse if preview else None
        self._fine = Sweep(solver, start, width=min(width, slots or width), tolerance=tolerance, guide=guide)
        self._preview = preview
        self._shown = shown
        self._shown_parts = 0
        self._gains: deque[int] = deque(maxlen=tuning.ROUNDS_JUDGED)
        self._lost = 0.0

    @property
    def deviation(self) -> float:
        """The largest distance of an accepted state from the state that was evaluated; at most the tolerance."""
        return self._fine.deviation

    def offers(self) -> Iterator[Evaluation]:
        """See `Trajectory.offers`: the coarse grid goes first."""
        if self.status is not Status.RUNNING:
            return
        coarse = list(islice(self._coarse.ready(), self.width)) if self._preview else []
        for point in coarse:
            yield self._evaluation("coarse", self._coarse, point)
        if 0 in coarse or (coarse and self.preview_first):
            return
        for point in islice(self._fine.ready(), self.width - len(coarse)):
            yield self._evaluation("fine", self._fine, point)

    def take(self, evaluations: Sequence[Evaluation], outputs: Tensor) -> list[Iterate]:
        """See `Trajectory.take`."""
        self.rounds += 1
        self.evaluations += len(evaluations)
        keys: list[tuple[str, int]] = [evaluation.key for evaluation in evaluations]  # pyright: ignore[reportAssignmentType]
        coarse = [point for sweep, point in keys if sweep == "coarse"]
        fine = [point for sweep, point in keys if sweep == "fine"]
        if coarse:
            self._coarse.take(coarse, outputs[: len(coarse)])
            for point in coarse:
                self._fine.adopt(self.edges[point], self._coarse.evaluated[point])
        if coarse[:1] == [0]:  # the fine grid starts at the same point
            fine, outputs = [0], outputs[:1]
        if fine:
            before = self._fine.frontier
            self._fine.take(fine, outputs[-len(fine) :])
            self._fine.forget()
            self._adapt(len(fine), self._fine.frontier - before)
        span = self._fine.span
        if self._fine.done:
            return self._complete(self._fine.x[self._fine.last])
        if coarse and self._coarse.done:
            return self._complete(self._predicted(span) if fine and span else self._coarse.x[self._coarse.last])
        known = self._shown * self._fine.frontier // self.edges[-1]
        if self._preview and span and known > self._shown_parts and (self._coarse.done or self._overtakes(span)):
            self._shown_parts = known
            return self._complete(self._predicted(span))
        return []

    def checkpoint(self) -> Checkpoint:
        """See `Trajectory.checkpoint`."""
        coarse, about_coarse = self._coarse.checkpoint()
        fine, about_fine = self._fine.checkpoint()
        return self._checkpoint(
            {f"coarse/{key}": tensor for key, tensor in coarse.items()}
            | {f"fine/{key}": tensor for key, tensor in fine.items()},
            edges=self.edges,
            preview=self._preview,
            preview_first=self.preview_first,
            shown=self._shown,
            shown_parts=self._shown_parts,
            coarse=about_coarse,
            fine=about_fine,
        )

    @classmethod
    def resume(
        cls,
        solver: Solver,
        checkpoint: Checkpoint,
        *,
        width: int,
        device: torch.device | str = "cpu",
        tolerance: float = 0.0,
        cost: Curve = flat,
    ) -> "Window":
        """Go on from a checkpoint. Accepted points stay accepted; tolerance, width and cost count from here on.

        Raises:
            InvalidCheckpoint: another version or method, or a grid of another length.
        """
        checkpoint = checkpoint.on(device, (cls.method,), solver.grid.steps)
        tensors = checkpoint.tensors
        about = checkpoint.description if "fine" in checkpoint.description else _by_sweep(checkpoint.description)
        self = cls(
            solver,
            torch.zeros_like(tensors[f"fine/{about['fine']['frontier']}/x"][0]),
            width=width,
            tolerance=tolerance,
            preview=about["preview"],
            blocks=[end - start for start, end in pairwise(about["edges"])],
            preview_first=about["preview_first"],
            shown=about["shown"],
            cost=cost,
        )
        for name, sweep in (("coarse", self._coarse), ("fine", self._fine)):
            own = {key.removeprefix(f"{name}/"): x for key, x in tensors.items() if key.startswith(f"{name}/")}
            sweep.restore(own, about[name])
        self._restore(checkpoint)
        self._shown_parts = about["shown_parts"]
        if self._fine.done:
            self._end(Status.CONVERGED if self.deviation > 0 else Status.EXACT)
        return self

    def _evaluation(self, name: str, sweep: Sweep, point: int) -> Evaluation:
        timestep = float(sweep.solver.grid.timestep[sweep.points[point]])
        return Evaluation((name, point), sweep.x[point][0], timestep)

    def _adapt(self, evaluated: int, accepted: int) -> None:
        """Make the fine window as wide as pays, by the gains of its latest rounds."""
        sweep, gains = self._fine, self._gains
        self._lost += self._cost(evaluated) - accepted
        if self._lost > tuning.LOSS * (sweep.last + sweep.frontier) / 2:
            sweep.width = 1
            return
        if evaluated < sweep.width:
            return
        gains.append(accepted)
        if len(gains) < tuning.ROUNDS_JUDGED:
            return
        if sum(gains) < len(gains) * self._cost(sweep.width):
            width = max(1, sweep.width // 2)
        elif sum(gains) == len(gains) * sweep.width:
            width = min(self.width, 2 * sweep.width)
        else:
            return
        if width != sweep.width:
            sweep.width = width
            gains.clear()

    def _predicted(self, span: Span) -> Tensor:
        """The image's state, from the end of a round of the fine sweep on through the coarse grid's outputs."""
        ahead = [n for n in sorted(self._coarse.evaluated) if self.edges[n] > span.last] + [self._coarse.last]
        x = self._fine.step(span.x, span.last, self.edges[ahead[0]])
        for n, end in pairwise(ahead):
            x = self._coarse.step(x, n, end, tuning.PREVIEW_THETA)
        return x

    def _overtakes(self, span: Span) -> bool:
        """Whether a round of the fine sweep has gone as far as the coarse sweep, so that its preview comes too late."""
        return span.last >= self.edges[self._coarse.newest]

    def _complete(self, state: Tensor) -> list[Iterate]:
        # With deviation 0 every point was evaluated exactly at its final state.
        exact = self._fine.done and self.deviation == 0
        ended = Status.EXACT if exact else Status.CONVERGED if self._fine.done else None
        return self._show(state[0], 0.0 if exact else None, ended)


def _by_sweep(about: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a checkpoint of version 0.1, which kept the two sweeps' fields side by side."""
    nested: dict[str, Any] = {**about, "shown_parts": about["told"]}
    for name, frontier in zip(("coarse", "fine"), about["frontiers"], strict=True):
        nested[name] = {
            "frontier": frontier,
            "span": about["spans"].get(name),
            "thetas": {
                key.removeprefix(f"{name}/"): theta
                for key, theta in about["thetas"].items()
                if key.startswith(f"{name}/")
            },
            "deviation": about["drift"],
        }
    return nested


def crowded(steps: int, blocks: int) -> list[int]:
    """The lengths of blocks that become shorter towards the image; at least 1 each, N in all.

    Raises:
        ValueError: there are more blocks than steps.
    """
    if not 1 <= blocks <= steps:
        raise ValueError(f"blocks must be from 1 to {steps}, not {blocks}")
    spare = steps - blocks
    edges = [n + round(spare * (1 - (1 - n / blocks) ** tuning.CROWDING)) for n in range(blocks + 1)]
    return [end - start for start, end in pairwise(edges)]
