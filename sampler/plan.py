"""How many blocks, and what a sample will cost: rounds and evaluations of pipelined SRDS, by formula.

T(p) = (B - p) + (the p longest blocks), the rounds until iterate p is complete with unbounded width: every way through
the dataflow to x[B, p] crosses p blocks by fine steps and the others by one coarse step.

E(p) = sum over q <= p of (B - q)  +  sum over q < p and i >= q of (S_i - 1), the evaluations that iterate p needs:
each node (block i, iterate q <= i) is evaluated at its boundary, and those before iterate p in the rest of the block.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from sampler.grid import block_edges

# The first residual on the shipped model with about sqrt(N) blocks; each next one is about a tenth of it.
FIRST_RESIDUAL, CONTRACTION = 0.05, 0.1
# How much the latest residual counts among all that were seen.
LEARNED = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sample is expected to cost.

    Attributes:
        blocks: B.
        rounds: until the expected iterate is complete, alone in an engine of the given width.
        evaluations: that this iterate needs.
        method: "srds" (with one block the serial sampler) or "window".
        width: evaluations a round that the sample is to ask for at the most; None for no limit.
        preview_first: whether the first preview is computed before anything else.
    """

    blocks: int
    rounds: int
    evaluations: int
    method: Literal["srds", "window"] = "srds"
    width: int | None = None
    preview_first: bool = False


@dataclass(slots=True)
class Convergence:
    """How fast SRDS's iterates have converged of late, in this engine.

    Attributes:
        first: the residual of iterate 1.
        contraction: each residual over the one before.
    """

    first: float = FIRST_RESIDUAL
    contraction: float = CONTRACTION

    def note(self, number: int, residual: float, before: float | None) -> None:
        """Iterate `number` had this residual, and the one before it that one."""
        if residual <= 0:
            return
        if number == 1:
            self.first *= (residual / self.first) ** LEARNED
        elif before:
            self.contraction *= (min(residual / before, 0.9) / self.contraction) ** LEARNED


def rounds(lengths: Sequence[int], iterate: int) -> int:
    """T(p): the rounds until iterate `p` is complete with unbounded width, for blocks of these lengths."""
    return len(lengths) - iterate + sum(sorted(lengths, reverse=True)[:iterate])


def evaluations(lengths: Sequence[int], iterate: int) -> int:
    """E(p): the evaluations that iterate `p` needs, for blocks of these lengths."""
    blocks = len(lengths)
    shared = sum(blocks - q for q in range(iterate + 1))
    return shared + sum(length - 1 for q in range(iterate) for length in lengths[q:])


def expected_iterates(tolerance: float, seen: Convergence | None = None) -> int:
    """How many iterates it takes until the residual is at most `tolerance`: as was seen, or as a rule of thumb.

    With tolerance 0 all of them run; what is shown on the way counts then, and 2 is a good picture.
    """
    if tolerance == 0:
        return 2
    seen = seen or Convergence()
    return 1 + max(0, math.ceil(math.log(tolerance / seen.first, seen.contraction) - 1e-9))


def predict(steps: int, blocks: int, iterates: int, width: int) -> Plan:
    """The cost of `iterates` Parareal iterates of a grid of `steps` steps in `blocks` blocks.

    Rounds are the larger of the dataflow's length and of what the width can hold (the coarse chain runs alone),
    and never more than N + B - 1, where the serial path ends.
    """
    edges = block_edges(steps, blocks)
    lengths = [b - a for a, b in pairwise(edges)]
    iterates = min(iterates, blocks)
    needed = evaluations(lengths, iterates)
    by_width = blocks + -(-(needed - blocks) // width)
    bound = steps + blocks - 1
    return Plan(blocks, min(bound, max(rounds(lengths, iterates), by_width)), needed)


def choose_blocks(steps: int, width: int, iterates: int = 2) -> int:
    """The number of blocks for which the iterate that is expected to be the last is complete in the fewest rounds.

    With ample width that is near sqrt(p N). Where the width is too narrow for refinement to beat the serial sampler,
    it is sqrt(N): the first preview then comes after that many rounds, and the exact image after N + sqrt(N) - 1.
    """
    plans = [predict(steps, blocks, iterates, width) for blocks in range(1, steps + 1)]
    best = min(plans, key=lambda plan: (plan.rounds, plan.evaluations))
    return best.blocks if best.rounds < steps else max(1, round(steps**0.5))


def predict_window(steps: int, width: int, blocks: int, *, preview_first: bool) -> Plan:
    """The expected cost of the window method at a tolerance of some hundredths, the coarse grid's preview included.

    An estimate, not a bound, fitted to the shipped model (`python -m benchmarks.window`): the rounds beyond N / w come
    to 1.5 (1 + w / sqrt(N)), at the most 6, each with half a window of evaluations that are made again.
    """
    again = 0.0 if width == 1 else min(6.0, 1.5 + 1.5 * width / steps**0.5)
    coarse = blocks - 1
    rounds = min(steps, steps / width + again) + (coarse if preview_first else coarse / width)
    evaluations = round(steps + again * width / 2) + coarse
    return Plan(blocks, math.ceil(rounds), evaluations, "window", width, preview_first)
