"""How many blocks, and what a sample will cost: rounds and evaluations of pipelined SRDS, counted beforehand."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from sampler.dataflow import Dataflow
from sampler.grid import block_edges, root_blocks

# The first residual on the shipped model with about sqrt(N) blocks; each next one is about a tenth of it.
FIRST_RESIDUAL, CONTRACTION = 0.05, 0.1
# The numbers of blocks that are tried: all up to this one, and from there on each that is larger by such a part.
CLOSE = 32
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
        shown: parts in which a window is shown, 0 for the image alone; None for as many as it likes.
        slots: evaluations a round that a window is expected to get at first; None for its width.
    """

    blocks: int
    rounds: int
    evaluations: int
    method: Literal["srds", "window"] = "srds"
    width: int | None = None
    preview_first: bool = False
    shown: int | None = None
    slots: int | None = None


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


def expected_iterates(tolerance: float, seen: Convergence | None = None) -> int:
    """How many iterates it takes until the residual is at most `tolerance`: as was seen, or as a rule of thumb.

    With tolerance 0 all of them run; what is shown on the way counts then, and 2 is a good picture.
    """
    if tolerance == 0:
        return 2
    seen = seen or Convergence()
    return 1 + max(0, math.ceil(math.log(tolerance / seen.first, seen.contraction) - 1e-9))


@lru_cache(maxsize=1024)
def predict(
    steps: int, blocks: int, iterates: int, width: int, last: int | None = None, preview_first: bool = False
) -> Plan:
    """What an iterate of SRDS takes, alone in an engine: exactly what `Parareal` will have spent when it is complete.

    Args:
        steps, blocks: N and B.
        iterates: p of that iterate. Where the exact image comes first, it is that one.
        width: of the engine.
        last: the trajectory's `max_iterations`. Without a limit (None) a part of each round goes on to later iterates.
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
            return Plan(blocks, rounds, flow.spent)
        if complete:
            flow.complete(max(complete))
        rounds += flow.take_again(keys, now)


@lru_cache(maxsize=1024)
def choose_blocks(steps: int, width: int, iterates: int = 2, last: int | None = None) -> int:
    """The number of blocks for which the iterate that is expected to be the last is complete in the fewest rounds.

    With ample width that is near sqrt(p N). Where the width is too narrow for refinement to beat the serial sampler,
    it is sqrt(N): the first preview then comes after that many rounds, and the exact image after N + sqrt(N) - 1.
    `last` is the trajectory's `max_iterations`; one that is lower than `iterates` does not count: a draft is refined
    less, but it is cut as well as others.
    """
    last = None if last is None else max(last, iterates)
    best = Plan(root_blocks(steps), steps, 0)
    for least, blocks in sorted((at_least(steps, blocks, iterates, width), blocks) for blocks in candidates(steps)):
        if least >= (best.rounds, best.evaluations):
            break
        plan = predict(steps, blocks, iterates, width, last)
        if (plan.rounds, plan.evaluations) < (best.rounds, best.evaluations):
            best = plan
    return best.blocks


def candidates(steps: int) -> list[int]:
    """The numbers of blocks worth a try: rounds hardly differ between one and the next."""
    tried = [1]
    while (blocks := tried[-1] + 1 + tried[-1] // CLOSE) <= steps:
        tried.append(blocks)
    return tried


def at_least(steps: int, blocks: int, iterates: int, width: int) -> tuple[int, int]:
    """The rounds and evaluations that an iterate takes at the least: T(p), or E(p) in full rounds; and E(p).

    See `sampler.dataflow`; the blocks are as equal as they can be, the longer ones first.
    """
    short, longer = divmod(steps, blocks)
    p = min(iterates, blocks)
    starts = [q * short + min(q, longer) for q in range(p + 1)]
    needed = sum(steps - start for start in starts[:p]) + blocks - p
    return max(blocks - p + starts[p], math.ceil(needed / width)), needed


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
