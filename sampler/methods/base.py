"""What a sampling method provides: plans for an image, trajectories that follow them, and what it learns on the way."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sampler.cost import Curve, flat
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint, Iterate, Trajectory

Wish = Literal["latency", "cost"]


@dataclass(frozen=True, slots=True)
class Stopping:
    """When an image is finished.

    Attributes:
        tolerance: the error estimate at which the image counts as finished, 0 or more. 0 asks for the exact image.
        max_iterations: stop after this iterate (0: the coarse solution); None for no limit.
    """

    tolerance: float = 0.0
    max_iterations: int | None = None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What `auto` takes into account besides the request itself.

    Attributes:
        width: evaluations that a round of the engine may hold.
        cost: of a round by its width.
        busy: whether so many images share the rounds that none gets a second evaluation.
        previews: whether pictures before the last one are wanted.
        wish: "latency" for the plan that finishes first; "cost" for few evaluations.
        linear: whether the solver has a linear form (`Solver.linear`), and adds no noise.
        guidance: the guidance scale; stronger guidance needs more evaluations.
    """

    width: int
    cost: Curve = flat
    busy: bool = False
    previews: bool = True
    wish: Wish = "latency"
    linear: bool = True
    guidance: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan(ABC):
    """How one image will be sampled, and what that is expected to cost. Each method adds fields of its own.

    Attributes:
        blocks: B; 1 for a method without blocks.
        rounds: until the expected last iterate is complete, alone in an engine of the given width.
        evaluations: that this iterate needs.
        width: evaluations a round that the sample asks for at most; None for no limit.
    """

    method: ClassVar[str]

    blocks: int
    rounds: int
    evaluations: int
    width: int | None

    @abstractmethod
    def start(self, solver: Solver, noise: Tensor, stopping: Stopping, cost: Curve = flat) -> Trajectory:
        """The planned trajectory, from unit normal noise (c, h, w), which also fixes the device.

        Raises:
            ValueError: an argument out of range.
        """

    @abstractmethod
    def resume(
        self,
        solver: Solver,
        checkpoint: Checkpoint,
        stopping: Stopping,
        cost: Curve = flat,
        device: torch.device | str = "cpu",
    ) -> Trajectory:
        """The planned trajectory, from a checkpoint of this method; `stopping` may differ from the first run's.

        Raises:
            InvalidCheckpoint: the checkpoint is of another version, method or grid.
        """


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan that a method proposes to `auto`.

    Attributes:
        plan: the plan.
        time: expected until the image is finished, in rounds of one evaluation.
        evaluations: expected, in the comparison of candidates.
    """

    plan: Plan
    time: float
    evaluations: int


class Method(ABC):
    """A sampling method, as one engine knows it: an instance keeps what it has learned in that engine.

    Attributes:
        name: in requests, plans and checkpoints.
        parameters: the request parameters that it takes beside the common ones.
    """

    name: ClassVar[str]
    parameters: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def plan(self, steps: int, width: int, stopping: Stopping, blocks: int | None = None) -> Plan:
        """The plan for a request that names this method. Nothing else than the arguments counts, so that the iterates
        are the same on every machine.

        Args:
            steps: N.
            width: evaluations that a round of the engine may hold.
            stopping: when the image is finished.
            blocks: B, for a method that takes it; None lets the method choose.
        """

    def candidates(
        self, steps: int, stopping: Stopping, circumstances: Circumstances, checkpoint: Checkpoint | None = None
    ) -> Iterator[Candidate]:
        """Plans for `auto` to compare; none by default. With a `checkpoint` of this method, plans that resume it: at
        least one then."""
        return iter(())

    def observe(self, iterate: Iterate, previous: Iterate | None) -> None:  # noqa: B027
        """Learn from an iterate that a trajectory of this method has completed after `previous`. Nothing by default."""
