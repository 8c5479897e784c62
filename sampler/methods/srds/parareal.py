"""Pipelined SRDS: Parareal over the blocks of the grid, as a dataflow without barriers (see `dataflow`).

Selvam, Merchant, Ermon, "Self-Refining Diffusion Samplers", NeurIPS 2024 (arXiv 2412.08292).

    x[0, p]     = the initial noise
    x[i+1, 0]   = G(x[i, 0])
    x[i+1, p+1] = F(x[i, p]) + G(x[i, p+1]) - G(x[i, p])

G is one solver step across block i, F the solver's steps through it. Both leave from the same point, so G and the first
step of F share one evaluation. `G(new) - G(old)` is scaled as `correction` says, unless "plain" is asked for.
After iterate p the first p boundaries are the serial solution and are not computed again, so that only x[i, p] with
i >= p exist.

The serial path, F from the exact boundary of the first block that is not exact yet, always goes on when it would end
sooner than the last iterate asked for, so that no width or load makes this slower than N + B - 1 rounds.

With unbounded width x[i, p] is known after `(i - p) + (the p longest of the first i blocks)` rounds; for B equal blocks
of S steps iterate p is complete after p S + (B - p) rounds, and p = B takes exactly N.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from sampler.cost import Curve, flat
from sampler.grid import block_edges
from sampler.methods.srds import tuning
from sampler.methods.srds.correction import bounded, secant
from sampler.methods.srds.dataflow import Dataflow, Key, evaluations
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory, residual

Correction = Literal["secant", "plain"]


@dataclass(slots=True)
class Node:
    """Block i in iterate p: what is known of G and F from the boundary x[i, p].

    Attributes:
        fine: the state of the fine solve, (m, c, h, w) float32: x[i, p] at first, F(x[i, p]) at the end.
        start: x[i, p], (m, c, h, w).
        coarse: G(x[i, p]), known as soon as one step was taken.
        said: what made x[i+1, p]: the correction from x[i, p-1] to x[i, p], before it was scaled, and F(x[i, p-1]);
            (2, c, h, w).
    """

    fine: Tensor
    start: Tensor
    coarse: Tensor | None = None
    said: Tensor | None = None


class Parareal(Trajectory):
    """The SRDS trajectory of one sample. With one block it is the serial sampler."""

    method = "srds"
    resumes: ClassVar[tuple[str, ...]] = ("srds",)

    def __init__(
        self,
        solver: Solver,
        noise: Tensor,
        *,
        blocks: int | Sequence[int],
        tolerance: float = 0.0,
        max_iterations: int | None = None,
        correction: Correction = "secant",
        block_tolerance: float = 0.0,
        width: int | None = None,
        preview_first: bool = False,
        cost: Curve = flat,
    ) -> None:
        """Start from noise.

        Args:
            solver: the fine solver, with its grid of N steps.
            noise: (c, h, w), unit normal; also fixes the device of all states.
            blocks: B, from 1 to N, or the lengths of the blocks.
            tolerance: stop as soon as the residual is at most this; 0 goes on until the iterate is exact.
            max_iterations: stop after this iterate (0: the coarse solution); None for no limit.
            correction: "secant", see `sampler.methods.srds.correction`;
                "plain" is G(new) - G(old), as the paper has it.
            block_tolerance: a block whose start moved by no more than this from one iterate to the next (RMS over the
                RMS of the start) is not solved again: its next boundary stands for its solution. An iterate is then
                off by at most what the flow makes of so much in each block; x[B, B] stays the serial solution.
            width: evaluations a round that this sample asks for at the most; None for no limit.
            preview_first: whether iterate 0 is computed alone, before anything else is offered: for devices on which
                a wider round takes longer.
            cost: of a round by its width. Where what is left of the serial path is expected to be done sooner alone
                than with the iterates that are still needed, it goes on alone.

        Raises:
            ValueError: an argument out of range; the message says which.
        """
        super().__init__()
        if not tolerance >= 0:
            raise ValueError(f"tolerance must be 0 or more, not {tolerance}")
        if max_iterations is not None and max_iterations < 0:
            raise ValueError(f"max_iterations must be 0 or more, not {max_iterations}")
        self.solver = solver
        self.edges = block_edges(solver.grid.steps, blocks)
        self.tolerance = tolerance
        self.correction: Correction = correction
        self.block_tolerance = block_tolerance
        self.width = width
        self.preview_first = preview_first
        self._cost = cost
        self._alone = False
        self._timesteps = [float(timestep) for timestep in solver.grid.timestep]
        last = self.blocks if max_iterations is None else min(max_iterations, self.blocks)
        self._flow = Dataflow([b - a for a, b in pairwise(self.edges)], last)
        start = solver.initial(noise)
        self._nodes: dict[Key, Node] = {(0, 0): Node(start, start)}

    @property
    def blocks(self) -> int:
        """B."""
        return len(self.edges) - 1

    def offers(self) -> Iterator[Evaluation]:
        """See `Trajectory.offers`: the coarse chain, then the serial path, then lower iterates and earlier blocks."""
        if self.status is not Status.RUNNING:
            return
        narrow = self._alone or (self.preview_first and self.newest is None)
        for key in self._flow.ready(1 if narrow else self.width, exact=self._alone):
            yield self._evaluation(key)

    def take(self, evaluations: Sequence[Evaluation], outputs: Tensor) -> list[Iterate]:
        """See `Trajectory.take`."""
        keys: list[Key] = [evaluation.key for evaluation in evaluations]  # pyright: ignore[reportAssignmentType]
        self._step(keys, outputs)
        known = self._flow.take(keys)
        self.rounds, self.evaluations = self.rounds + 1, self._flow.spent
        completed: dict[int, Tensor] = {}
        for i, p in known:
            state = self._boundary(i - 1, p)
            if (i - 1, p) in self._flow.settled:
                self._nodes[i - 1, p].fine = state
            if i == self.blocks:
                completed[p] = state
                continue
            self._nodes[i, p] = Node(state, state)
            if self._hardly_moved(i, p):
                self._flow.settled.add((i, p))
        return [iterate for p in sorted(completed) if (iterate := self._complete(p, completed[p])) is not None]

    def checkpoint(self) -> Checkpoint:
        """See `Trajectory.checkpoint`. Nothing that was computed and is still of use is left out."""
        tensors = {
            f"{i}/{p}/{name}": part
            for (i, p), node in self._nodes.items()
            for name in ("fine", "start", "coarse", "said")
            if (part := getattr(node, name)) is not None
        }
        done = {f"{i}/{p}": self._flow.done[i, p] for i, p in self._nodes}
        settled = [f"{i}/{p}" for i, p in self._nodes if (i, p) in self._flow.settled]
        return self._checkpoint(
            tensors,
            edges=self.edges,
            done=done,
            settled=settled,
            correction=self.correction,
            block_tolerance=self.block_tolerance,
            preview_first=self.preview_first,
        )

    @classmethod
    def resume(
        cls,
        solver: Solver,
        checkpoint: Checkpoint,
        *,
        device: torch.device | str = "cpu",
        tolerance: float = 0.0,
        max_iterations: int | None = None,
        width: int | None = None,
        cost: Curve = flat,
    ) -> Self:
        """Go on from a checkpoint; tolerance, iterations, width and its cost may differ from those it was taken with.

        Raises:
            InvalidCheckpoint: another version or method, or a grid of another length.
        """
        checkpoint = checkpoint.on(device, cls.resumes, solver.grid.steps)
        about, tensors = checkpoint.description, checkpoint.tensors
        lengths = [b - a for a, b in pairwise(about["edges"])]
        self = cls(
            solver,
            torch.empty(0),
            blocks=lengths,
            tolerance=tolerance,
            max_iterations=max_iterations,
            correction=about["correction"],
            block_tolerance=about["block_tolerance"],
            width=width,
            preview_first=about["preview_first"],
            cost=cost,
        )
        self._restore(checkpoint)
        self._nodes = {}
        done: dict[Key, int] = {}
        for name, steps in about["done"].items():
            i, p = (int(part) for part in name.split("/"))
            parts = {part: tensors.get(f"{name}/{part}") for part in ("fine", "start", "coarse", "said")}
            self._nodes[i, p] = Node(**parts)  # pyright: ignore[reportArgumentType]
            done[i, p] = steps
        settled = {key for key in done if f"{key[0]}/{key[1]}" in about["settled"]}
        newest = self.newest.number if self.newest else -1
        self._flow = Dataflow(
            lengths, self._flow.last, done=done, settled=settled, newest=newest, spent=self.evaluations
        )
        if self.newest is not None:
            self._stop_at(self.newest)
        return self

    def _hardly_moved(self, i: int, p: int) -> bool:
        """Whether block i starts where it did in the iterate before, so that it is not solved again. An exact block
        always is."""
        before = self._nodes.get((i, p - 1))
        if self.block_tolerance == 0 or before is None or i == p:
            return False
        return residual(self._nodes[i, p].start[0], before.start[0]) <= self.block_tolerance

    def _alone_is_sooner(self, iterate: Iterate, before: Iterate | None) -> bool:
        """Whether the serial path, a narrow round a step, is expected to end before the iterates that are still
        needed, at the rate of the latest two."""
        pace, to_exact = self._flow.pace, self._flow.to_exact()
        if iterate.residual is None or not pace:
            return False
        rate = tuning.CONTRACTION if before is None or not before.residual else iterate.residual / before.residual
        last = self._flow.last
        if self.tolerance > 0 and rate < 1:
            last = min(last, iterate.number + math.ceil(math.log(self.tolerance / iterate.residual, rate)))
        left = evaluations(self._flow.lengths, last) - self.evaluations
        return to_exact < min(left / pace, to_exact) * self._cost(pace)

    def _point(self, key: Key) -> int:
        """The grid point at which a node is evaluated next."""
        return self.edges[key[0]] + self._flow.done[key]

    def _evaluation(self, key: Key) -> Evaluation:
        return Evaluation(key, self._nodes[key].fine[0], self._timesteps[self._point(key)])

    def _step(self, keys: Sequence[Key], outputs: Tensor) -> None:
        """One fine step of every node in `keys`; from a boundary the same outputs also give its coarse step."""
        nodes = [self._nodes[key] for key in keys]
        states = torch.stack([node.fine for node in nodes])
        start = torch.tensor([self._point(key) for key in keys])
        for node, state in zip(nodes, self.solver.step(states, outputs, start, start + 1), strict=True):
            node.fine = state

        first = [n for n, key in enumerate(keys) if self._flow.done[key] == 0]
        if first:
            end = torch.tensor([self.edges[keys[n][0] + 1] for n in first])
            coarse = self.solver.step(states[first], outputs[first], start[first], end)
            for n, state in zip(first, coarse, strict=True):
                nodes[n].coarse = state

    def _boundary(self, i: int, p: int) -> Tensor:
        """x[i+1, p], which has just become known."""
        here, before = self._nodes.get((i, p)), self._nodes.get((i, p - 1))
        if here is None:  # the block starts from an exact boundary: so does the next
            assert before is not None
            return before.fine
        assert here.coarse is not None
        if before is None:  # p is 0
            return here.coarse
        assert before.coarse is not None
        correction = here.coarse - before.coarse
        if self.correction == "plain":
            return before.fine + correction
        said = bounded(correction[0], here.start[0] - before.start[0], *self._reach(i))
        here.said = torch.stack([said, before.fine[0]])
        trust = (
            1.0
            if before.said is None
            else secant(before.fine[0], fine_before=before.said[1], correction=before.said[0])
        )
        return before.fine + torch.cat([(trust * said)[None], correction[1:]])

    def _reach(self, i: int) -> tuple[float, float]:
        """alpha' / alpha and the ratio of sigma / alpha across block i, which is not the first."""
        grid, start, end = self.solver.grid, self.edges[i], self.edges[i + 1] - 1
        scale = float(grid.alpha_to[end] / grid.alpha[start])
        return scale, float(grid.sigma_to[end] / grid.sigma[start]) / scale

    def _complete(self, p: int, state: Tensor) -> Iterate | None:
        """Iterate p is known: compare with the one before, decide whether to stop, forget what it was made from."""
        if self.status is not Status.RUNNING:
            return None
        if not bool(torch.isfinite(state).all()):
            self.fail(f"iterate {p} is not finite: try a lower guidance scale, or float32")
            return None
        before = self.newest
        change = None if before is None else residual(state[0], before.sample)
        self.newest = Iterate(p, state[0], change, self.rounds, self.evaluations)
        self._flow.complete(p)
        self._nodes = {key: self._nodes[key] for key in self._flow.done}
        self._stop_at(self.newest)
        if self.status is Status.RUNNING:
            self._alone = self._alone or self._alone_is_sooner(self.newest, before)
        return self.newest

    def _stop_at(self, iterate: Iterate) -> None:
        if iterate.number == self.blocks:
            self._end(Status.EXACT)
        elif iterate.residual is not None and iterate.residual <= self.tolerance and self.tolerance > 0:
            self._end(Status.CONVERGED)
        elif iterate.number >= self._flow.last:
            self._end(Status.MAX_ITERATIONS)
        elif self._accepted:
            self._end(Status.ACCEPTED)
