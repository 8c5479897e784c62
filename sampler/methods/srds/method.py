"""SRDS as a method: plans for requests that name it, candidates for `auto`, and what it learns from residuals."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sampler import tuning as shared
from sampler.cost import Curve, has_room
from sampler.grid import root_blocks
from sampler.methods.base import Candidate, Circumstances, Method, Stopping
from sampler.methods.srds import tuning
from sampler.methods.srds.convergence import Convergence, expected_iterates
from sampler.methods.srds.plan import SRDSPlan, at_least, block_counts, choose_blocks, predict
from sampler.trajectory import Checkpoint, Iterate


@dataclass(slots=True)
class SRDSMethod(Method):
    """See `Method`.

    Attributes:
        convergence: how fast the iterates in this engine have converged.
    """

    name = SRDSPlan.method
    parameters = frozenset({"blocks", "tolerance", "max_iterations"})

    convergence: Convergence = field(default_factory=Convergence)

    def plan(self, steps: int, width: int, stopping: Stopping, blocks: int | None = None) -> SRDSPlan:
        """See `Method.plan`."""
        expected = expected_iterates(stopping.tolerance)
        blocks = blocks or choose_blocks(steps, width, expected, stopping.max_iterations)
        last = blocks if stopping.tolerance == 0 else expected
        return predict(steps, blocks, last, width, stopping.max_iterations)

    def candidates(
        self, steps: int, stopping: Stopping, circumstances: Circumstances, checkpoint: Checkpoint | None = None
    ) -> Iterator[Candidate]:
        """See `Method.candidates`: for drafts, for the exact image if the iterates before it are wanted, and for a
        solver without a linear form; the serial path after a preview, and the fastest plan that refines in parallel, if
        it is worth its time."""
        wanted = not circumstances.linear if stopping.tolerance else circumstances.previews
        if checkpoint is None and stopping.max_iterations is None and (circumstances.busy or not wanted):
            return
        given = None if checkpoint is None else len(checkpoint.description["edges"]) - 1
        cost = circumstances.cost
        preview = given or _draft_blocks(steps, cost)
        serial = steps + preview - 1
        yield Candidate(SRDSPlan(preview, serial, serial, width=1, preview_first=True), serial, serial)
        yield from self._refined(steps, stopping, circumstances.width, cost, given, serial)

    def observe(self, iterate: Iterate, previous: Iterate | None) -> None:
        """See `Method.observe`."""
        if iterate.residual is not None:
            # An iterate in between may have been held back.
            adjacent = previous if previous and previous.number == iterate.number - 1 else None
            self.convergence.observe(iterate.number, iterate.residual, adjacent and adjacent.residual)

    def _refined(
        self, steps: int, stopping: Stopping, width: int, cost: Curve, given: int | None, serial: int
    ) -> Iterator[Candidate]:
        """The fastest plan that refines in parallel in a given or any number of blocks, if it is worth its time."""
        expected = max(tuning.FEWEST_ITERATES, expected_iterates(stopping.tolerance, self.convergence))
        last = stopping.max_iterations
        exact = stopping.tolerance == 0 and last is None
        if exact:
            # It certainly takes that long, and its iterates are better pictures than the serial path can show.
            best = tuning.PREVIEWS_WORTH * steps
            wanted = [(0.0, given or choose_blocks(steps, width, expected))]
        else:
            best = shared.WORTHWHILE * serial
            fewest = min(shared.FEWEST_BLOCKS, steps)
            tried = [blocks for blocks in block_counts(steps) if blocks >= fewest] if given is None else [given]
            wanted = sorted((_time(*at_least(steps, blocks, expected, width), cost), blocks) for blocks in tried)
        found = None
        for least, blocks in wanted:
            if least >= best:
                break
            time, plan = _timed(steps, blocks, blocks if exact else expected, width, cost)
            if time < best:
                best, found = time, plan
        if found is None:
            return
        if last is not None:
            counted = predict(steps, found.blocks, min(expected, last), width, last, found.preview_first)
            found = replace(counted, width=width, preview_first=found.preview_first)
        yield Candidate(found, best / tuning.PREVIEWS_WORTH if exact else best, found.evaluations)


def _draft_blocks(steps: int, cost: Curve) -> int:
    """About sqrt(N); fewer if the coarse solution delays the image."""
    root = root_blocks(steps)
    if has_room(cost, 2):
        return root
    return min(root, max(shared.FEWEST_BLOCKS, round(shared.PREVIEW_SHARE * steps)))


def _timed(steps: int, blocks: int, iterates: int, width: int, cost: Curve) -> tuple[float, SRDSPlan]:
    """The time of an iterate, refined as widely as the engine allows. The coarse chain runs alone if that makes its
    rounds cheaper."""
    plan = predict(steps, blocks, iterates, width)
    if has_room(cost, round(plan.evaluations / plan.rounds)):
        return _time(plan.rounds, plan.evaluations, cost), replace(plan, width=width)
    plan = predict(steps, blocks, iterates, width, preview_first=True)
    rest = _time(plan.rounds - blocks, plan.evaluations - blocks, cost)
    return blocks + rest, replace(plan, width=width, preview_first=True)


def _time(rounds: int, evaluations: int, cost: Curve) -> float:
    """The time of rounds of about equal width."""
    return rounds * cost(max(1, round(evaluations / max(1, rounds))))
