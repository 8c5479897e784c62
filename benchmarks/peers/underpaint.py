"""Underpaint's own trajectories, driven like the peers."""

from collections.abc import Sequence

from torch import Tensor

from sampler import Evaluation, Trajectory


class Underpaint:
    """A trajectory alone in an engine of a given width; what is shown is its newest iterate.

    Attributes: those of `benchmarks.peers.Peer`.
    """

    def __init__(self, trajectory: Trajectory, width: int) -> None:
        self.trajectory = trajectory
        self.width = width

    @property
    def rounds(self) -> int:
        return self.trajectory.rounds

    @property
    def evaluations(self) -> int:
        return self.trajectory.evaluations

    @property
    def estimate(self) -> Tensor | None:
        newest = self.trajectory.newest
        return None if newest is None else newest.sample

    def ready(self) -> Sequence[Evaluation]:
        """See `Peer.ready`."""
        return self.trajectory.ready()[: self.width]

    def take(self, outputs: Tensor) -> None:
        """See `Peer.take`."""
        self.trajectory.take(self.ready(), outputs)
