"""The window as a method: plans for requests that name it, and candidates of every width for `auto`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from sampler import tuning as shared
from sampler.cost import Curve, flat, has_room
from sampler.grid import root_blocks
from sampler.methods.base import Candidate, Circumstances, Method, Plan, Stopping
from sampler.methods.window import tuning
from sampler.methods.window.window import Window, crowded
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint


@dataclass(frozen=True, slots=True)
class WindowPlan(Plan):
    """See `Plan`.

    Attributes:
        preview_first: whether the coarse grid is swept alone, before anything else.
        shown: the iterates that show the fine sweep; 0 for the image alone, without a coarse grid.
        slots: evaluations a round that the sample is expected to get at first; None for its width.
    """

    method: ClassVar[str] = Window.method

    width: int
    preview_first: bool
    shown: int
    slots: int | None = None

    def start(self, solver: Solver, noise: Tensor, stopping: Stopping, cost: Curve = flat) -> Window:
        """See `Plan.start`; the window knows no `max_iterations`."""
        return Window(
            solver,
            noise,
            width=self.width,
            tolerance=stopping.tolerance,
            preview=self.shown > 0,
            blocks=crowded(solver.grid.steps, self.blocks),
            preview_first=self.preview_first,
            shown=self.shown,
            slots=self.slots,
            cost=cost,
        )

    def resume(
        self,
        solver: Solver,
        checkpoint: Checkpoint,
        stopping: Stopping,
        cost: Curve = flat,
        device: torch.device | str = "cpu",
    ) -> Window:
        """See `Plan.resume`. The coarse grid and the iterates to show are those of the checkpoint."""
        return Window.resume(
            solver, checkpoint, width=self.width, device=device, tolerance=stopping.tolerance, cost=cost
        )


class WindowMethod(Method):
    """See `Method`."""

    name = Window.method
    parameters = frozenset({"tolerance"})

    def plan(self, steps: int, width: int, stopping: Stopping, blocks: int | None = None) -> WindowPlan:
        """See `Method.plan`: the coarse grid first, in about sqrt(N) blocks."""
        return predict_window(steps, width, root_blocks(steps), preview_first=True)

    def candidates(
        self, steps: int, stopping: Stopping, circumstances: Circumstances, checkpoint: Checkpoint | None = None
    ) -> Iterator[Candidate]:
        """See `Method.candidates`: every width that is worth its time, unless iterates are counted."""
        if checkpoint is None and stopping.max_iterations is not None:
            return
        given = None if checkpoint is None else len(checkpoint.description["edges"]) - 1
        cost = circumstances.cost
        serial = 0.0
        for width in range(1, (1 if stopping.tolerance == 0 else min(circumstances.width, steps)) + 1):
            blocks = given or _coarse_blocks(steps, width, cost, circumstances.previews)
            # If there is room, the fine sweep uses what the coarse sweep leaves of a round.
            alone = not has_room(cost, width) or width == 1
            plan = predict_window(steps, width, blocks, preview_first=alone)
            coarse = alone * (blocks - 1)
            time = (plan.rounds - coarse) * cost(width) + coarse
            serial = serial or time
            if width == 1 or time < shared.WORTHWHILE * serial:
                yield Candidate(_shown(plan, steps, given, busy=circumstances.busy), time, plan.evaluations)


def predict_window(steps: int, width: int, blocks: int, *, preview_first: bool) -> WindowPlan:
    """The expected cost at a tolerance of some hundredths, with the preview of a coarse grid of so many blocks.

    An estimate, not a bound, fitted to the shipped model (`python -m benchmarks.window`): each round beyond N / width
    evaluates half a window again.
    """
    again = 0.0 if width == 1 else min(tuning.AGAIN_MOST, tuning.AGAIN * (1 + width / steps**0.5))
    coarse = blocks - 1
    rounds = min(steps, steps / width + again) + (coarse if preview_first else coarse / width)
    evaluations = round(steps + again * width / 2) + coarse
    return WindowPlan(blocks, math.ceil(rounds), evaluations, width, preview_first, tuning.SHOWN)


def _coarse_blocks(steps: int, width: int, cost: Curve, previews: bool) -> int:
    """The blocks of the coarse grid; 1 for none."""
    root = root_blocks(steps)
    if not previews and width < tuning.GUIDED_WIDTH:
        return 1
    if width > 1 and has_room(cost, width):
        return root
    share = tuning.SERIAL_PREVIEW_SHARE if width == 1 else shared.PREVIEW_SHARE
    blocks = min(root, 1 + int(share * steps))
    return blocks if blocks >= shared.FEWEST_BLOCKS else 1


def _shown(plan: WindowPlan, steps: int, given: int | None, *, busy: bool) -> WindowPlan:
    """The plan with the pictures that it can show without delaying the image.

    If the engine is busy, a coarse grid would delay every image. The sample then shows what it can predict without one,
    if it is long enough; it begins narrow, and becomes wider when there is room again.
    """
    pictures = steps // tuning.STEPS_SHOWN
    if busy:
        shown = min(tuning.SHOWN, pictures) if pictures > 1 else 0
        return WindowPlan(given or 1, steps, steps, plan.width, False, shown, slots=1)
    if plan.blocks == 1:
        return replace(plan, shown=max(1, min(tuning.SHOWN, pictures)))
    if plan.width == 1:  # one of the pictures is the coarse grid's
        return replace(plan, shown=max(1, min(tuning.SHOWN, pictures - 1)))
    return plan
