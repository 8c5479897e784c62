"""The serial sampler: one evaluation after the other, from noise to image.

Its iterates before the image are the images that the network predicts on the way (x0), at no evaluation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sampler import tuning
from sampler.cost import Curve, flat
from sampler.methods.base import Candidate, Circumstances, Method, Plan, Stopping
from sampler.solvers import Solver, kept_by
from sampler.solvers.base import x0_from
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory
from sampler.vectors import residual


def shown_at(steps: int) -> list[int]:
    """The points whose predicted image is shown: N / 2, N / 4, ..., rising; each halves what is left about twice."""
    return sorted(steps >> n for n in range(1, 1 + min(tuning.SHOWN, steps // tuning.STEPS_SHOWN)))


class Serial(Trajectory):
    """The serial trajectory of one sample."""

    method = "serial"

    def __init__(self, solver: Solver, noise: Tensor) -> None:
        """Start from noise (c, h, w), unit normal, which also fixes the device."""
        super().__init__()
        self._solver = solver
        self._state = solver.initial(noise)
        self._point = 0
        self._shown_at = shown_at(solver.grid.steps)
        # The predicted image before the next one that is shown; the change between them estimates the error.
        self._predicted: Tensor | None = None

    def offers(self) -> Iterator[Evaluation]:
        """See `Trajectory.offers`: one evaluation."""
        if self.status is Status.RUNNING:
            yield Evaluation(self._point, self._state[0], float(self._solver.grid.timestep[self._point]))

    def take(self, evaluations: Sequence[Evaluation], outputs: Tensor) -> list[Iterate]:
        """See `Trajectory.take`."""
        self.rounds += 1
        self.evaluations += 1
        point, state = self._point, self._state
        start, end = torch.tensor([point]), torch.tensor([point + 1])
        self._state = self._solver.step(state[None], outputs, start, end)[0]
        self._point += 1
        if self._point == self._solver.grid.steps:
            return self._show(self._state[0], 0.0, Status.EXACT)
        if not self._shown_at or (point and point not in self._shown_at):
            return []
        before = self._predicted
        predicted = x0_from(state[0], outputs[0], *self._solver.grid.departs[point], self._solver.prediction)
        kept = kept_by(self._solver)
        self._predicted = predicted if kept is None else kept.put_back(predicted, self._solver.grid.visits[-1])
        if before is None:
            return []
        return self._show(self._predicted, residual(self._predicted, before), None)

    def checkpoint(self) -> Checkpoint:
        """See `Trajectory.checkpoint`."""
        tensors = {"state": self._state}
        if self._predicted is not None:
            tensors["predicted"] = self._predicted
        return self._checkpoint(tensors, edges=(0, self._solver.grid.steps), point=self._point)

    @classmethod
    def resume(cls, solver: Solver, checkpoint: Checkpoint, *, device: torch.device | str = "cpu") -> "Serial":
        """Go on from a checkpoint.

        Raises:
            InvalidCheckpoint: another version or method, or a grid of another length.
        """
        checkpoint = checkpoint.on(device, (cls.method,), solver.grid.steps)
        state = checkpoint.tensors["state"]
        self = cls(solver, state[0])
        self._restore(checkpoint)
        self._state, self._predicted = state, checkpoint.tensors.get("predicted")
        self._point = checkpoint.description["point"]
        if self._point == solver.grid.steps:
            self._end(Status.EXACT)
        return self


@dataclass(frozen=True, slots=True)
class SerialPlan(Plan):
    """One evaluation a round."""

    method: ClassVar[str] = Serial.method

    def start(self, solver: Solver, noise: Tensor, stopping: Stopping, cost: Curve = flat) -> Serial:
        """See `Plan.start`; the image is exact whatever `stopping` allows."""
        return Serial(solver, noise)

    def resume(
        self,
        solver: Solver,
        checkpoint: Checkpoint,
        stopping: Stopping,
        cost: Curve = flat,
        device: torch.device | str = "cpu",
    ) -> Serial:
        """See `Plan.resume`."""
        return Serial.resume(solver, checkpoint, device=device)


class SerialMethod(Method):
    """See `Method`."""

    name = Serial.method

    def plan(self, steps: int, width: int, stopping: Stopping, blocks: int | None = None) -> SerialPlan:
        """See `Method.plan`: N rounds of one evaluation."""
        return SerialPlan(1, steps, steps, 1)

    def candidates(
        self, steps: int, stopping: Stopping, circumstances: Circumstances, checkpoint: Checkpoint | None = None
    ) -> Iterator[Candidate]:
        """See `Method.candidates`: always, unless iterates are counted."""
        if checkpoint is not None or stopping.max_iterations is None:
            yield Candidate(self.plan(steps, 1, stopping), steps, steps)
