"""The serial sampler: SRDS with one block. Its two iterates are one step across the whole grid, and the image."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sampler.cost import Curve, flat
from sampler.methods.base import Method, Plan, Stopping
from sampler.methods.srds.parareal import Parareal
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint


class Serial(Parareal):
    """The serial trajectory of one sample."""

    method = "serial"
    resumes = ("serial", "srds")  # up to version 0.1 its checkpoints were named "srds"


@dataclass(frozen=True, slots=True)
class SerialPlan(Plan):
    """One evaluation a round."""

    method: ClassVar[str] = Serial.method

    def start(self, solver: Solver, noise: Tensor, stopping: Stopping, cost: Curve = flat) -> Serial:
        """See `Plan.start`."""
        return Serial(
            solver, noise, blocks=1, tolerance=stopping.tolerance, max_iterations=stopping.max_iterations, cost=cost
        )

    def resume(
        self,
        solver: Solver,
        checkpoint: Checkpoint,
        stopping: Stopping,
        cost: Curve = flat,
        device: torch.device | str = "cpu",
    ) -> Serial:
        """See `Plan.resume`."""
        return Serial.resume(
            solver,
            checkpoint,
            device=device,
            tolerance=stopping.tolerance,
            max_iterations=stopping.max_iterations,
            cost=cost,
        )


class SerialMethod(Method):
    """The serial sampler, as a request names it. To `auto` it proposes nothing: a window of width 1 is as fast."""

    name = Serial.method

    def plan(self, steps: int, width: int, stopping: Stopping, blocks: int | None = None) -> SerialPlan:
        """See `Method.plan`: N rounds of one evaluation."""
        return SerialPlan(1, steps, steps, 1)
