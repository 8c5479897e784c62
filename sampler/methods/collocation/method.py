"""Collocation as a method: plans for requests that name it, and candidates for `auto`."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sampler.cost import Curve, flat
from sampler.methods.base import Method, Plan, Stopping
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
        if not pays(steps, stopping.tolerance):
            return CollocationPlan(1, steps, steps, 1)
        nodes = first_nodes(stopping.tolerance)
        rounds = tuning.AGAIN * nodes / width + tuning.WAVES * (1 - width**-0.5)
        return CollocationPlan(1, min(steps, math.ceil(rounds)), math.ceil(rounds * min(width, nodes)), width)
