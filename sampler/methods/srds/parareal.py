"""Pipelined SRDS: Parareal over the blocks of the grid, as a dataflow without barriers (see `dataflow`).

Selvam, Merchant, Ermon, "Self-Refining Diffusion Samplers", NeurIPS 2024 (arXiv 2412.08292). The same algorithm without
the pipeline is `sampler.textbook`.

    x[0, p]     = the initial noise
    x[i+1, 0]   = G(x[i, 0])
    x[i+1, p+1] = F(x[i, p]) + G(x[i, p+1]) - G(x[i, p])

G is one solver step across block i, F the solver's steps through it. Both start at the same point, so G and the first
step of F share one evaluation. `G(new) - G(old)` is scaled, see `correction`, unless "plain" is asked for. After
iterate p the first p boundaries are the serial solution and are not computed again: only x[i, p] with i >= p exist.

An iterate that is estimated to be worse than the newest published one is held back: the trajectory goes on from it, but
it is neither returned nor `newest`, unless it is the last one.

The serial path is F from the exact boundary of the first block that is not exact yet. It goes on beyond the last
iterate asked for if it ends sooner, so that no width or load makes this slower than N + B - 1 rounds.

With unbounded width x[i, p] is known after `(i - p) + (the p longest of the first i blocks)` rounds. For B equal blocks
of S steps iterate p is complete after p S + (B - p) rounds, and p = B takes exactly N.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import torch
from torch import Tensor

from sampler.cost import Curve, flat
from sampler.grid import block_edges
from sampler.methods.srds import tuning
from sampler.methods.srds.convergence import error_estimate
from sampler.methods.srds.correction import bounded, secant
from sampler.methods.srds.dataflow import Dataflow, Key, evaluations
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory
from sampler.vectors import residual

Correction = Literal["secant", "plain"]

# The tensors of a node, with their names in checkpoints.
PARTS = {"fine": "fine", "start": "start", "coarse": "coarse", "prediction": "said"}


@dataclass(slots=True)
class Node:
    """Block i in iterate p: what is known of G and F from the boundary x[i, p].

    Attributes:
        fine: the state of the fine solve, (m, c, h, w) float32: x[i, p] at first, F(x[i, p]) at the end.
        start: x[i, p], (m, c, h, w).
        coarse: G(x[i, p]), after the first step.
        prediction: what x[i+1, p] was computed from, (2, c, h, w): the correction before the secant scaled it, and
            F(x[i, p-1]).
    """

    fine: Tensor
    start: Tensor
    coarse: Tensor | None = None
    prediction: Tensor | None = None


class Parareal(Trajectory):
    """The SRDS trajectory of one sample. With one block it computes the serial solution."""

    method = "srds"

    def __init__(
        self,
        solver: Solver,
        noise: Tensor,
        *,
        blocks: int | Sequence[int],
        tolerance: float = 0.0,
        max_iterations: int | None = None,
        correction: Correction = "secant",
        width: int | None = None,
        preview_first: bool = False,
        cost: Curve = flat,
    ) -> None:
        """Start from noise.

        Args:
            solver: the fine solver, with its grid of N steps.
            noise: (c, h, w), unit normal; also fixes the device of all states.
            blocks: B, from 1 to N, or the lengths of the blocks.
            tolerance: stop as soon as the error estimate is at most this; 0 goes on until the iterate is exact.
            max_iterations: stop after this iterate (0: the coarse solution); None for no limit.
            correction: "secant", see `sampler.methods.srds.correction`; "plain" is the paper's G(new) - G(old).
            width: evaluations a round that this sample asks for at most; None for no limit.
            preview_first: whether iterate 0 is computed alone, before anything else is offered: for devices on which
                a wider round takes longer.
            cost: of a round by its width. If the rest of the serial path alone is expected to take less time than the
                iterates that are still needed, only the serial path goes on.

        Raises:
            ValueError: an argument out of range; the message names it.
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
        self.width = width
        self.preview_first = preview_first
        self._cost = cost
        self._alone = False
        # The newest complete iterate: `newest`, or one that is held back.
        self._last: Iterate | None = None
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
            if i == self.blocks:
                completed[p] = state
            else:
                self._nodes[i, p] = Node(state, state)
        return [iterate for p in sorted(completed) if (iterate := self._complete(p, completed[p])) is not None]

    def checkpoint(self) -> Checkpoint:
        """See `Trajectory.checkpoint`. It holds everything that was computed and is still needed."""
        tensors = {
            f"{i}/{p}/{name}": part
            for (i, p), node in self._nodes.items()
            for attribute, name in PARTS.items()
            if (part := getattr(node, attribute)) is not None
        }
        done = {f"{i}/{p}": self._flow.done[i, p] for i, p in self._nodes}
        last, held = self._last, None
        if last is not None and last is not self.newest:
            held = (last.number, last.residual, last.error_estimate, last.rounds, last.evaluations)
            tensors["held"] = last.sample
        return self._checkpoint(
            tensors,
            edges=self.edges,
            done=done,
            correction=self.correction,
            preview_first=self.preview_first,
            held=held,
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
        """Go on from a checkpoint; tolerance, iterations, width and cost may differ from those of the first run.

        Raises:
            InvalidCheckpoint: another version or method, or a grid of another length.
        """
        checkpoint = checkpoint.on(device, (cls.method,), solver.grid.steps)
        about, tensors = checkpoint.description, checkpoint.tensors
        lengths = [b - a for a, b in pairwise(about["edges"])]
        like = next(iter(tensors.values()))
        self = cls(
            solver,
            torch.zeros_like(like.reshape(-1, *like.shape[-3:])[0]),  # its nodes take the place of this start
            blocks=lengths,
            tolerance=tolerance,
            max_iterations=max_iterations,
            correction=about["correction"],
            width=width,
            preview_first=about["preview_first"],
            cost=cost,
        )
        self._restore(checkpoint)
        self._nodes = {}
        done: dict[Key, int] = {}
        for key, steps in about["done"].items():
            i, p = (int(part) for part in key.split("/"))
            parts = {attribute: tensors.get(f"{key}/{name}") for attribute, name in PARTS.items()}
            self._nodes[i, p] = Node(**parts)  # pyright: ignore[reportArgumentType]
            done[i, p] = steps
        self._last = self.newest
        if held := about.get("held"):
            number, change, estimate, rounds, spent = held
            self._last = Iterate(number, tensors["held"], change, estimate, rounds, spent)
        newest = self._last.number if self._last else -1
        self._flow = Dataflow(lengths, self._flow.last, done=done, newest=newest, spent=self.evaluations)
        if self._last is not None:
            self._stop_at(self._last)
        return self

    def _alone_is_sooner(self, iterate: Iterate, previous: Iterate | None) -> bool:
        """Whether the serial path, one evaluation a round, is expected to end before the iterates that are still
        needed, if they converge at the rate of the latest two."""
        pace, to_exact = self._flow.pace, self._flow.to_exact()
        if iterate.residual is None or iterate.error_estimate is None or not pace:
            return False
        known = previous is not None and previous.residual
        rate = iterate.residual / known if known else tuning.CONTRACTION
        last = self._flow.last
        if self.tolerance > 0 and rate < 1:
            last = min(last, iterate.number + math.ceil(math.log(self.tolerance / iterate.error_estimate, rate)))
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
        if here is None:  # the block starts at an exact boundary, so the next boundary is exact
            assert before is not None
            return before.fine
        assert here.coarse is not None
        if before is None:  # p is 0
            return here.coarse
        assert before.coarse is not None
        correction = here.coarse - before.coarse
        if self.correction == "plain":
            return before.fine + correction
        predicted = bounded(correction[0], here.start[0] - before.start[0], *self._reach(i))
        here.prediction = torch.stack([predicted, before.fine[0]])
        if before.prediction is None:
            return before.fine + torch.cat([predicted[None], correction[1:]])
        previous_correction, previous_fine = before.prediction
        factor = secant(before.fine[0], previous_fine, previous_correction)
        return before.fine + torch.cat([(factor * predicted)[None], correction[1:]])

    def _reach(self, i: int) -> tuple[float, float]:
        """alpha' / alpha and the ratio of sigma / alpha across block i, which is not the first."""
        grid, start, end = self.solver.grid, self.edges[i], self.edges[i + 1] - 1
        scale = float(grid.alpha_to[end] / grid.alpha[start])
        return scale, float(grid.sigma_to[end] / grid.sigma[start]) / scale

    def _complete(self, p: int, state: Tensor) -> Iterate | None:
        """Iterate p is known: compare it with the previous one, decide whether to stop, drop what it was made from.

        Returns:
            The iterate; None if it is held back.
        """
        if self.status is not Status.RUNNING:
            return None
        if not bool(torch.isfinite(state).all()):
            self.fail(f"iterate {p} is not finite: try a lower guidance scale, or float32")
            return None
        previous = self._last
        change = None if previous is None else residual(state[0], previous.sample)
        estimate = self._estimate(p, change, previous)
        self._last = iterate = Iterate(p, state[0], change, estimate, self.rounds, self.evaluations)
        self._flow.complete(p)
        self._nodes = {key: self._nodes[key] for key in self._flow.done}
        self._stop_at(iterate)
        if self.status is Status.RUNNING:
            self._alone = self._alone or self._alone_is_sooner(iterate, previous)
            if self._is_worse(iterate, previous):
                return None
        self.newest = iterate
        return iterate

    def _estimate(self, p: int, change: float | None, previous: Iterate | None) -> float | None:
        if p == self.blocks:
            return 0.0
        return None if change is None else error_estimate(p, change, previous.residual if previous else None)

    def _is_worse(self, iterate: Iterate, previous: Iterate | None) -> bool:
        """Whether an iterate after `previous` is estimated to be worse than the newest published one."""
        shown = self.newest and self.newest.error_estimate
        if shown is None or previous is None or previous.residual is None:
            return False
        assert iterate.residual is not None
        assert iterate.error_estimate is not None
        slow = iterate.residual > tuning.SLOW_CONVERGENCE * previous.residual
        return slow and iterate.error_estimate > shown

    def _stop_at(self, iterate: Iterate) -> None:
        if iterate.number == self.blocks:
            self._end(Status.EXACT)
        elif iterate.error_estimate is not None and iterate.error_estimate <= self.tolerance and self.tolerance > 0:
            self._end(Status.CONVERGED)
        elif iterate.number >= self._flow.last:
            self._end(Status.MAX_ITERATIONS)
        elif self._accepted:
            self._end(Status.ACCEPTED)
