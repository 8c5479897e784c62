"""SRDS as published: Parareal with blocks of equal length, with barriers or pipelined.

Selvam, Merchant, Ermon, "Self-Refining Diffusion Samplers: Enabling Parallelization via Parareal Iterations", NeurIPS
2024 (arXiv 2412.08292), algorithm 1 and section 3.4. B = sqrt(N) blocks; F is DDIM's fine steps, G one DDIM step across
a block, and each is evaluated for itself. It stops when two iterates after each other differ by less than the
tolerance: 0.1 in the mean over the decoded image in 0..255, as in the unofficial port kevin-on/srds (the authors have
published no code). Blocks that start from exact boundaries (the paper's proposition 1) are not solved again. What the
authors' pipelined version does when a round cannot hold all that is ready could not be ascertained: here earlier
iterates go first, then earlier blocks.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from torch import Tensor

from benchmarks.peers.base import Published, Rounds
from sampler import DDIM, Evaluation, block_edges

PUBLISHED_TOLERANCE = 0.1

# How far two samples (c, h, w) lie apart, in the unit of the tolerance.
Distance = Callable[[Tensor, Tensor], float]


def mean_difference(sample: Tensor, before: Tensor) -> float:
    """Mean absolute difference, of images in 0..255."""
    return float((sample.float() - before.float()).abs().mean())


class SRDS(Published):
    """Algorithm 1, with a barrier after all fine solves of an iteration; its coarse sweep takes B rounds."""

    def __init__(
        self,
        solver: DDIM,
        noise: Tensor,
        width: int,
        *,
        blocks: int | None = None,
        tolerance: float = PUBLISHED_TOLERANCE,
        distance: Distance = mean_difference,
    ) -> None:
        """Start from noise; see `Published`. B is `blocks`, or sqrt(N)."""
        steps = solver.grid.steps
        self.edges = block_edges(steps, blocks or round(steps**0.5))
        self.tolerance, self.distance = tolerance, distance
        super().__init__(solver, noise, width)

    def _sample(self) -> Rounds:
        blocks = len(self.edges) - 1
        x, coarse = [self.start], list[Tensor]()
        for i in range(blocks):
            coarse.append((yield from self._coarse(i, x[i])))
            x.append(coarse[i])
        self.estimate = x[blocks]
        for iteration in range(1, blocks + 1):
            first = iteration - 1  # its boundary is exact
            fine = yield from self._fine(x, first)
            before, x = x[blocks], [*x[: first + 1], fine[first]]
            for i in range(first + 1, blocks):
                now = yield from self._coarse(i, x[i])
                x.append(fine[i] + now - coarse[i])
                coarse[i] = now
            self.estimate = x[blocks]
            if self.distance(x[blocks], before) < self.tolerance:
                return

    def _coarse(self, i: int, x: Tensor) -> Generator[list[Evaluation], Tensor, Tensor]:
        """G(x) across block i."""
        outputs = yield [self.at(self.edges[i], x)]
        return self.step(x, outputs[0], self.edges[i], self.edges[i + 1])

    def _fine(self, x: list[Tensor], first: int) -> Generator[list[Evaluation], Tensor, dict[int, Tensor]]:
        """F(x[i]) of all blocks from `first` on, side by side as far as the width allows."""
        state = {i: (start, x[i]) for i, start in enumerate(self.edges[:-1]) if i >= first}
        while going := [i for i, (point, _) in state.items() if point < self.edges[i + 1]][: self.width]:
            outputs = yield [self.at(*state[i]) for i in going]
            for i, output in zip(going, outputs, strict=True):
                point, here = state[i]
                state[i] = point + 1, self.step(here, output, point, point + 1)
        return {i: here for i, (_, here) in state.items()}


@dataclass(frozen=True)
class Node:
    """Block i in iterate p: the state and point of its fine solve, and G across it where that is known."""

    point: int
    x: Tensor
    boundary: Tensor
    coarse: Tensor | None = None


class SRDSPipelined(SRDS):
    """The pipelined version: whatever has its inputs runs, while there is room in the round."""

    def _sample(self) -> Rounds:
        blocks = len(self.edges) - 1
        nodes = {(0, 0): Node(0, self.start, self.start)}
        shown: dict[int, Tensor] = {}
        while blocks not in shown:
            tasks = sorted(self._tasks(nodes), key=lambda task: (task[0], task[1], not task[2]))[: self.width]
            outputs = yield [
                self.at(self.edges[i], nodes[i, p].boundary) if coarse else self.at(nodes[i, p].point, nodes[i, p].x)
                for p, i, coarse in tasks
            ]
            for (p, i, coarse), output in zip(tasks, outputs, strict=True):
                node = nodes[i, p]
                if coarse:
                    across = self.step(node.boundary, output, self.edges[i], self.edges[i + 1])
                    nodes[i, p] = replace(node, coarse=across)
                else:
                    x = self.step(node.x, output, node.point, node.point + 1)
                    nodes[i, p] = replace(node, point=node.point + 1, x=x)
            for i, p in sorted({(i, q) for iterate, i, _ in tasks for q in (iterate, iterate + 1)}):
                boundary = self._boundary(nodes, i, p)
                if boundary is not None and i + 1 < blocks and (i + 1, p) not in nodes:
                    nodes[i + 1, p] = Node(self.edges[i + 1], boundary, boundary)
                elif boundary is not None and i + 1 == blocks and p not in shown:
                    self.estimate = shown[p] = boundary
                    if p and self.distance(boundary, shown[p - 1]) < self.tolerance:
                        return

    def _tasks(self, nodes: dict[tuple[int, int], Node]) -> list[tuple[int, int, bool]]:
        """What could be evaluated: (p, i, whether it is the coarse step). There are nodes with p <= i only."""
        fine = [(p, i, False) for (i, p), node in nodes.items() if node.point < self.edges[i + 1]]
        return fine + [(p, i, True) for (i, p), node in nodes.items() if node.coarse is None]

    def _boundary(self, nodes: dict[tuple[int, int], Node], i: int, p: int) -> Tensor | None:
        """x[i + 1, p], where all that it is made of is known."""
        here, before = nodes.get((i, p)), nodes.get((i, p - 1))
        if p == 0:
            return here.coarse if here else None
        if before is None or before.point < self.edges[i + 1]:
            return None
        if i == p - 1:
            return before.x
        if here is None or here.coarse is None or before.coarse is None:
            return None
        return before.x + here.coarse - before.coarse
