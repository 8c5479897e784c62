"""The base of all trajectories: evaluations offered, outputs taken back, iterates, a status, a checkpoint."""

import json
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.numpy import save
from safetensors.torch import load
from torch import Tensor

from sampler.errors import InvalidCheckpoint
from sampler.vectors import residual


class Status(StrEnum):
    """The status of a trajectory; all but `running` are final."""

    RUNNING = "running"
    CONVERGED = "converged"
    EXACT = "exact"
    MAX_ITERATIONS = "max_iterations"
    ACCEPTED = "accepted"
    CANCELED = "canceled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One forward pass of the network that can run now.

    Attributes:
        key: its name within its trajectory.
        x: (c, h, w) float32, the sample to evaluate.
        timestep: of the network.
    """

    key: Hashable
    x: Tensor
    timestep: float


@dataclass(frozen=True, slots=True)
class Iterate:
    """A whole image, as one iterate estimates it.

    Attributes:
        number: p; 0 is the first preview.
        sample: (c, h, w) float32, in the model's latent space.
        residual: RMS of the change since the previous iterate over the RMS of the sample; None for the first.
        error_estimate: the estimated relative RMS error of this iterate's final latents against the serial N-step
            sampler's; 0 for the exact image; None if there is no estimate yet.
        rounds, evaluations: of the trajectory until the iterate was complete.
    """

    number: int
    sample: Tensor
    residual: float | None
    error_estimate: float | None
    rounds: int
    evaluations: int


CHECKPOINT_VERSION = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a trajectory needs to go on: named tensors, and a description that JSON can carry. Its `edges`
    are the grid points between which the method works; the last one is N."""

    tensors: dict[str, Tensor]
    description: dict[str, Any]

    def to_bytes(self) -> bytes:
        """As a safetensors file, with the description in its metadata. numpy copies the tensors: a thread that calls
        PyTorch gets a pool of its own there, which slows down the engine's."""
        return save(
            {name: tensor.cpu().numpy().copy() for name, tensor in self.tensors.items()},
            metadata={"underpaint": json.dumps(self.description)},
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Checkpoint":
        """The checkpoint that `to_bytes` wrote.

        Raises:
            InvalidCheckpoint: the bytes are not a checkpoint.
        """
        try:
            length = int.from_bytes(data[:8], "little")
            header: dict[str, Any] = json.loads(data[8 : 8 + length])
            return cls(load(data), json.loads(header["__metadata__"]["underpaint"]))
        except (SafetensorError, ValueError, KeyError, UnicodeDecodeError) as error:
            raise InvalidCheckpoint(f"not an Underpaint checkpoint: {error}") from error

    def on(self, device: torch.device | str, methods: Sequence[str], steps: int) -> "Checkpoint":
        """This checkpoint with its tensors on a device.

        Args:
            device: the device.
            methods: that can resume from it.
            steps: N of the grid.

        Raises:
            InvalidCheckpoint: it is of another version, method or number of steps.
        """
        about = self.description
        if about.get("version") != CHECKPOINT_VERSION or about.get("method") not in methods:
            raise InvalidCheckpoint(f"version {about.get('version')} of method {about.get('method')} cannot be resumed")
        if about["edges"][-1] != steps:
            raise InvalidCheckpoint(f"the checkpoint has {about['edges'][-1]} steps, the solver's grid {steps}")
        return Checkpoint({name: tensor.to(device) for name, tensor in self.tensors.items()}, about)


class Trajectory(ABC):
    """One sample between noise and image: a state machine without thread, device, clock or callback.

    A driver evaluates any number of the evaluations that `offers()` yields, first ones first, and passes their outputs
    to `take()`, until `status` is final.

    Attributes:
        method: the name of the method, also in checkpoints.
        newest: the newest complete iterate; None before the first.
        rounds, evaluations: spent so far.
    """

    method: ClassVar[str]

    def __init__(self) -> None:
        self.status = Status.RUNNING
        self.error: str | None = None
        self.newest: Iterate | None = None
        self.rounds: int = 0
        self.evaluations: int = 0
        self._accepted = False

    @abstractmethod
    def offers(self) -> Iterator[Evaluation]:
        """The evaluations that can run in the next round, most urgent first; none once the status is final. Making one
        may take a while, so a driver takes no more than it has room for."""

    def ready(self) -> list[Evaluation]:
        """All that `offers` yields."""
        return list(self.offers())

    @abstractmethod
    def take(self, evaluations: Sequence[Evaluation], outputs: Tensor) -> list[Iterate]:
        """Take back one round's outputs.

        Args:
            evaluations: some of the offered ones.
            outputs: (b, c, h, w) float32, in their order; finite.

        Returns:
            The iterates that this round completed, in order; often none.
        """

    @abstractmethod
    def checkpoint(self) -> Checkpoint:
        """A snapshot to go on from, cheap to take: it shares the tensors."""

    def accept(self) -> None:
        """End with the newest iterate; with the first one, if none is complete yet."""
        self._accepted = True
        if self.newest is not None:
            self._end(Status.ACCEPTED)

    def cancel(self) -> None:
        """End without a result. Does nothing to an ended trajectory."""
        self._end(Status.CANCELED)

    def fail(self, error: str) -> None:
        """End because `error` happened. Does nothing to an ended trajectory."""
        if self.status is Status.RUNNING:
            self.error = error
        self._end(Status.FAILED)

    def _checkpoint(self, tensors: dict[str, Tensor], **description: Any) -> Checkpoint:
        """A checkpoint: the method's tensors and description, and those of all trajectories."""
        newest = self.newest
        return Checkpoint(
            tensors if newest is None else tensors | {"newest": newest.sample},
            {
                "version": CHECKPOINT_VERSION,
                "method": self.method,
                "newest": newest and (newest.number, newest.residual, newest.rounds, newest.evaluations),
                "error_estimate": newest and newest.error_estimate,
                "spent": (self.rounds, self.evaluations),
                **description,
            },
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Restore what all trajectories have. `checkpoint` has been checked."""
        about = checkpoint.description
        self.rounds, self.evaluations = about["spent"]
        if about["newest"]:
            number, change, rounds, evaluations = about["newest"]
            # Checkpoints of version 0.1 have no estimate.
            estimate = about.get("error_estimate")
            self.newest = Iterate(number, checkpoint.tensors["newest"], change, estimate, rounds, evaluations)

    def _show(self, sample: Tensor, error_estimate: float | None, ended: Status | None) -> list[Iterate]:
        """Complete the next iterate, and end with it if it is the last or accepted in advance.

        Args:
            sample: (c, h, w).
            error_estimate: see `Iterate`.
            ended: the status if it is the last iterate.

        Returns:
            The iterate; none if it is not finite, in which case the trajectory fails.
        """
        if not bool(torch.isfinite(sample).all()):
            self.fail("the image is not finite: try a lower guidance scale, or float32")
            return []
        previous = self.newest
        number, change = (0, None) if previous is None else (previous.number + 1, residual(sample, previous.sample))
        self.newest = Iterate(number, sample, change, error_estimate, self.rounds, self.evaluations)
        if ended:
            self._end(ended)
        elif self._accepted:
            self._end(Status.ACCEPTED)
        return [self.newest]

    def _end(self, status: Status) -> None:
        if self.status is Status.RUNNING:
            self.status = status
