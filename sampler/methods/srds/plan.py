"""The plan of an SRDS sample: how many blocks, and the rounds and evaluations that it will take, counted beforehand."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from sampler.cost import Curve, flat
from sampler.grid import block_edges, root_blocks
from sampler.methods.base import Plan, Stopping
from sampler.methods.srds import tuning
from sampler.methods.srds.dataflow import Dataflow
from sampler.methods.srds.parareal import Parareal
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint


@dataclass(frozen=True, slots=True)
class SRDSPlan(Plan):
    """See `Plan`.

    Attributes:
        preview_first: whether iterate 0 is computed alone, before anything else.
    """

    method: ClassVar[str] = Parareal.method

    preview_first: bool = False

    def start(self, solver: Solver, noise: Tensor, stopping: Stopping, cost: Curve = flat) -> Parareal:
        """See `Plan.start`."""
        return Parareal(
            solver,
            noise,
            blocks=self.blocks,
            tolerance=stopping.tolerance,
            max_iterations=stopping.max_iterations,
            width=self.width,
            preview_first=self.preview_first,
            cost=cost,
        )

    def resume(
        self,
        solver: Solver,
        checkpoint: Checkpoint,
        stopping: Stopping,
        cost: Curve = flat,
        device: torch.device | str = "cpu",
    ) -> Parareal:
        """See `Plan.resume`. The blocks are those of the checkpoint."""
        return Parareal.resume(
            solver,
            checkpoint,
            device=device,
            tolerance=stopping.tolerance,
            max_iterations=stopping.max_iterations,
            width=self.width,
            cost=cost,
        )


@lru_cache(maxsize=1024)
def predict(
    steps: int, blocks: int, iterates: int, width: int, last: int | None = None, preview_first: bool = False
) -> SRDSPlan:
    """What an iterate takes, alone in an engine: exactly what `Parareal` will have spent when it is complete.

    Args:
        steps, blocks: N and B.
        iterates: p of that iterate. If the exact image comes first, the figures are those of the exact image.
        width: of the engine.
        last: the trajectory's `max_iterations`. Without a limit (None) a part of each round goes to later iterates.
        preview_first: see `Parareal`.
    """
    lengths = [end - start for start, end in pairwise(block_edges(steps, blocks))]
    flow = Dataflow(lengths, blocks if last is None else min(last, blocks))
    wanted, rounds = min(iterates, flow.last), 0
    while True:
        now = 1 if preview_first and flow.newest < 0 else width
        keys = flow.ready(now)
        complete = [p for i, p in flow.take(keys) if i == blocks]
        rounds += 1
        if complete and max(complete) >= wanted:
            return SRDSPlan(blocks, rounds, flow.spent, None)
        if complete:
            flow.complete(max(complete))
        rounds += flow.take_again(keys, now)


@lru_cache(maxsize=1024)
def choose_blocks(steps: int, width: int, iterates: int = 2, last: int | None = None) -> int:
    """The number of blocks for which the iterate that is expected to be the last is complete in the fewest rounds.

    With ample width that is near sqrt(p N). If the width is too narrow for refinement to beat the serial sampler, it is
    sqrt(N): the first preview then comes after that many rounds, and the exact image after N + sqrt(N) - 1.

    Args:
        steps, width, iterates: see `predict`.
        last: the trajectory's `max_iterations`. One below `iterates` does not count: a draft gets the same blocks.
    """
    last = None if last is None else max(last, iterates)
    best = SRDSPlan(root_blocks(steps), steps, 0, None)
    for least, blocks in sorted((at_least(steps, blocks, iterates, width), blocks) for blocks in block_counts(steps)):
        if least >= (best.rounds, best.evaluations):
            break
        plan = predict(steps, blocks, iterates, width, last)
        if (plan.rounds, plan.evaluations) < (best.rounds, best.evaluations):
            best = plan
    return best.blocks


def block_counts(steps: int) -> list[int]:
    """The numbers of blocks that are tried: for many blocks, rounds hardly differ between one number and the next."""
    counts = [1]
    while (blocks := counts[-1] + 1 + counts[-1] // tuning.EVERY_BLOCK_COUNT) <= steps:
        counts.append(blocks)
    return counts


def at_least(steps: int, blocks: int, iterates: int, width: int) -> tuple[int, int]:
    """Lower bounds on the rounds and evaluations of an iterate: T(p), or E(p) in full rounds; and E(p).

    See `sampler.methods.srds.dataflow`; the blocks are as equal as they can be, longer ones first.
    """
    short, longer = divmod(steps, blocks)
    p = min(iterates, blocks)
    starts = [q * short + min(q, longer) for q in range(p + 1)]
    needed = sum(steps - start for start in starts[:p]) + blocks - p
    return max(blocks - p + starts[p], math.ceil(needed / width)), needed
