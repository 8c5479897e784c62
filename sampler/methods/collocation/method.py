"""Collocation as a method: plans for requests that name it, and candidates for `auto`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sampler import tuning as shared
from sampler.cost import Curve, flat
from sampler.methods.base import Candidate, Circumstances, Method, Plan, Stopping
from sampler.methods.collocation import tuning
from sampler.methods.collocation.collocation import Collocation, first_nodes, pays
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint


@dataclass(frozen=True, slots=True)
class CollocationPlan(Plan):
    """See `Plan`; `blocks` is 1."""

    method: ClassVar[str] = Collocation.method

    width: int

    def start(self, solver: Solver, noise: Tensor, stopping: Stopping, cost: Curve = flat) -> Collocation:
        """See `Plan.start`; collocation knows no `max_iterations`."""
        return Collocation(solver, noise, width=self.width, tolerance=stopping.tolerance)

    def resume(
        self,
        solver: Solver,
        checkpoint: Checkpoint,
        stopping: Stopping,
        cost: Curve = flat,
        device: torch.device | str = "cpu",
    ) -> Collocation:
        """See `Plan.resume`."""
        return Collocation.resume(solver, checkpoint, width=self.width, tolerance=stopping.tolerance, device=device)


class CollocationMethod(Method):
    """See `Method`."""

    name = Collocation.method
    parameters = frozenset({"tolerance"})

    def plan(self, steps: int, width: int, stopping: Stopping, blocks: int | None = None) -> CollocationPlan:
        """See `Method.plan`."""
        return predict_collocation(steps, width, stopping.tolerance, guidance=1.0)

    def candidates(
        self, steps: int, stopping: Stopping, circumstances: Circumstances, checkpoint: Checkpoint | None = None
    ) -> Iterator[Candidate]:
        """See `Method.candidates`: every width, unless iterates are counted or the image is to be exact; width 1 if the
        engine is busy."""
        wanted = circumstances.linear and stopping.max_iterations is None and stopping.tolerance > 0
        if checkpoint is None and not wanted:
            return
        serial = shared.WORTHWHILE * steps
        for width in range(1, (1 if circumstances.busy else circumstances.width) + 1):
            plan = predict_collocation(steps, width, stopping.tolerance, circumstances.guidance)
            time = plan.rounds * circumstances.cost(min(width, math.ceil(plan.evaluations / plan.rounds)))
            if checkpoint is not None or time < serial:
                yield Candidate(plan, time, plan.evaluations)


def predict_collocation(steps: int, width: int, tolerance: float, guidance: float) -> CollocationPlan:
    """The expected cost; an estimate, not a bound."""
    if not pays(steps, width, tolerance):
        return CollocationPlan(1, steps, steps, width)
    nodes = min(steps, first_nodes(tolerance))
    alone = nodes * max(1.0, tuning.AGAIN + tuning.AGAIN_GUIDED * guidance)
    rounds = alone * (tuning.SEQUENTIAL + (1 - tuning.SEQUENTIAL) / width)
    evaluations = rounds * min(width, tuning.USEFUL_WIDTH * nodes)
    return CollocationPlan(1, min(steps, math.ceil(rounds)), math.ceil(evaluations), width)
