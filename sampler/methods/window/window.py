"""The window trajectory: for narrow width, where refining far blocks from wrong starts would waste most of it.

First the coarse grid of about sqrt(N) points is swept: iterate 0. Then the fine grid; each time another part of it is
known, the rest is predicted from the coarse grid's outputs, which costs no evaluation: the next iterate. The last
iterate is the image. See `sampler.methods.window.sweep` for the algorithm.

Where a round's width costs nothing, the fine sweep takes the room that the coarse one leaves (`preview_first=False`),
and where it overtakes that one, its own iterates come first.
Where it costs something, the fine window is as wide as pays (`cost`).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor

from sampler.cost import Curve, flat, has_room
from sampler.grid import block_edges, root_blocks
from sampler.methods.window import tuning
from sampler.methods.window.sweep import Seen, Span, Sweep
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory, residual


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
            width: evaluations a round that this sample asks for at the most.
            tolerance: how far from where it came to lie a point may have been evaluated, RMS over that of the noise
                there; 0 is the serial sampler. On the shipped model the relative error of the image is at most about
                a tenth of it.
            preview: whether to sweep the coarse grid; without it the image is the only iterate.
            blocks: steps of the coarse grid, or their lengths in fine steps; None for `crowded(N, sqrt(N))`.
            preview_first: whether the coarse grid is swept alone, before anything else is offered.
            shown: in how many parts the fine grid is shown: an iterate each time that another one is known.
            slots: evaluations a round that it is expected to get at first: it begins so narrow; None for `width`.
            cost: of a round by its width. The window is halved when it gains less than the serial sampler would have
                in the same time, and widened again, up to `width`, while all of its points are accepted. While it has
                lost more than the share `LOSS` of the serial sampler's time, half of it at once and half on the way,
                it is as narrow as that one.

        Raises:
            ValueError: an argument out of range; the message says which.
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
        self._told = 0
        self._gains: deque[int] = deque(maxlen=tuning.ROUNDS_JUDGED)
        self._lost = 0.0

    @property
    def drift(self) -> float:
        """The farthest that an accepted state lay from where its output was taken; at most the tolerance."""
        return self._fine.drift

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
            # What was said there is a secant's other end when the fine sweep comes by.
            for point in coarse:
                self._fine.seen.setdefault(self.edges[point], self._coarse.seen[point])
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
        if self._preview and span and known > self._told and (self._coarse.done or self._overtakes(span)):
            self._told = known
            return self._complete(self._predicted(span))
        return []

    def checkpoint(self) -> Checkpoint:
        """See `Trajectory.checkpoint`."""
        tensors: dict[str, Tensor] = {}
        thetas: dict[str, float] = {}
        spans: dict[str, tuple[int, int]] = {}
        for name, sweep in (("coarse", self._coarse), ("fine", self._fine)):
            tensors |= {f"{name}/{point}/x": x for point, x in sweep.x.items()}
            if sweep.span:
                tensors[f"{name}/{sweep.span.last}/span"] = sweep.span.x
                spans[name] = sweep.span.first, sweep.span.last
            for point, seen in sweep.seen.items():
                tensors |= {f"{name}/{point}/seen": seen.x, f"{name}/{point}/output": seen.output}
                thetas[f"{name}/{point}"] = seen.theta
        return self._checkpoint(
            tensors,
            edges=self.edges,
            preview=self._preview,
            preview_first=self.preview_first,
            shown=self._shown,
            told=self._told,
            frontiers=(self._coarse.frontier, self._fine.frontier),
            spans=spans,
            drift=self._fine.drift,
            thetas=thetas,
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
        """Go on from a checkpoint. What was accepted stays; tolerance, width and cost hold for what follows.

        Raises:
            InvalidCheckpoint: another version or method, or a grid of another length.
        """
        checkpoint = checkpoint.on(device, (cls.method,), solver.grid.steps)
        about, tensors = checkpoint.description, checkpoint.tensors
        self = cls(
            solver,
            torch.zeros_like(tensors[f"fine/{about['frontiers'][1]}/x"][0]),
            width=width,
            tolerance=tolerance,
            preview=about["preview"],
            blocks=[end - start for start, end in pairwise(about["edges"])],
            preview_first=about["preview_first"],
            shown=about["shown"],
            cost=cost,
        )
        for name, sweep, frontier in zip(
            ("coarse", "fine"), (self._coarse, self._fine), about["frontiers"], strict=True
        ):
            sweep.frontier = frontier
            parts = [key.split("/") for key in tensors if key.startswith(name)]
            sweep.x = {int(point): tensors[f"{name}/{point}/x"] for _, point, what in parts if what == "x"}
            sweep.seen = {
                int(point): Seen(
                    tensors[f"{name}/{point}/seen"],
                    tensors[f"{name}/{point}/output"],
                    about["thetas"][f"{name}/{point}"],
                )
                for _, point, what in parts
                if what == "seen"
            }
            if name in about.get("spans", {}):
                first, last = about["spans"][name]
                sweep.span = Span(first, last, tensors[f"{name}/{last}/span"])
        self._fine.drift = about["drift"]
        self._restore(checkpoint)
        self._told = about.get("told", self.newest.number if self.newest else 0)
        if self._fine.done:
            self._end(Status.CONVERGED if self.drift > 0 else Status.EXACT)
        return self

    def _end(self, status: Status) -> None:
        super()._end(status)
        for sweep in (self._coarse, self._fine):
            sweep.stop()

    def _evaluation(self, name: str, sweep: Sweep, point: int) -> Evaluation:
        timestep = float(sweep.solver.grid.timestep[sweep.points[point]])
        return Evaluation((name, point), sweep.x[point][0], timestep)

    def _adapt(self, evaluated: int, accepted: int) -> None:
        """Make the fine window as wide as pays, by what its latest rounds have gained."""
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
        """The image's state, from where a round of the fine sweep ended on and through the coarse grid's outputs."""
        ahead = [n for n in sorted(self._coarse.seen) if self.edges[n] > span.last] + [self._coarse.last]
        x = self._fine.step(span.x, span.last, self.edges[ahead[0]])
        for n, end in pairwise(ahead):
            x = self._coarse.step(x, n, end, tuning.PREVIEW_THETA)
        return x

    def _overtakes(self, span: Span) -> bool:
        """Whether a round of the fine sweep has gone as far as the coarse one, whose picture need not be waited for."""
        return span.last >= self.edges[max(self._coarse.seen)]

    def _complete(self, state: Tensor) -> list[Iterate]:
        sample = state[0]
        if not bool(torch.isfinite(sample).all()):
            self.fail("the image is not finite: try a lower guidance scale, or float32")
            return []
        before = self.newest
        number, change = (0, None) if before is None else (before.number + 1, residual(sample, before.sample))
        self.newest = Iterate(number, sample, change, self.rounds, self.evaluations)
        if self._fine.done:
            # Every output was taken exactly where its point came to lie.
            self._end(Status.CONVERGED if self.drift > 0 else Status.EXACT)
        elif self._accepted:
            self._end(Status.ACCEPTED)
        return [self.newest]


def crowded(steps: int, blocks: int) -> list[int]:
    """The lengths of blocks that grow shorter towards the image; at least 1 each, `steps` together.

    Raises:
        ValueError: there are more blocks than steps.
    """
    if not 1 <= blocks <= steps:
        raise ValueError(f"blocks must be from 1 to {steps}, not {blocks}")
    spare = steps - blocks
    edges = [n + round(spare * (1 - (1 - n / blocks) ** tuning.CROWDING)) for n in range(blocks + 1)]
    return [end - start for start, end in pairwise(edges)]
