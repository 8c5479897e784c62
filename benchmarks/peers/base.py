"""What every method in a comparison is: it asks for evaluations, round by round, and shows a whole image after each."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from sampler import DDIM, Evaluation
from sampler.solvers import predictions

# What an algorithm is written as: it yields the evaluations of a round and is sent their outputs (b, c, h, w).
Rounds = Generator[list[Evaluation], Tensor, None]


class Peer(Protocol):
    """One sample on its way, by any method.

    Attributes:
        rounds, evaluations: spent so far.
        estimate: (c, h, w), the whole image that a user would be shown now; None before there is one.
    """

    @property
    def rounds(self) -> int: ...

    @property
    def evaluations(self) -> int: ...

    @property
    def estimate(self) -> Tensor | None: ...

    def ready(self) -> Sequence[Evaluation]:
        """The evaluations of the next round; empty when the method has stopped by its own rule."""
        ...

    def take(self, outputs: Tensor) -> None:
        """Take the outputs (b, c, h, w) of all that was ready."""
        ...


class Published(ABC):
    """A method from a paper, written as the generator `_sample`, over DDIM's grid.

    Attributes: those of `Peer`.
    """

    def __init__(self, solver: DDIM, noise: Tensor, width: int) -> None:
        """Start from noise.

        Args:
            solver: DDIM over the grid of N steps.
            noise: (c, h, w), unit normal.
            width: how many evaluations a round may hold.
        """
        self.solver = solver
        self.start = solver.initial(noise)[0]
        self.width = width
        self.rounds = 0
        self.evaluations = 0
        self.estimate: Tensor | None = None
        self._rounds = self._sample()
        self._asked = next(self._rounds)

    @abstractmethod
    def _sample(self) -> Rounds:
        """The algorithm."""

    @property
    def steps(self) -> int:
        """N."""
        return self.solver.grid.steps

    def ready(self) -> list[Evaluation]:
        """See `Peer.ready`."""
        return self._asked

    def take(self, outputs: Tensor) -> None:
        """See `Peer.take`."""
        assert len(self._asked) <= self.width
        self.rounds += 1
        self.evaluations += len(self._asked)
        try:
            self._asked = self._rounds.send(outputs)
        except StopIteration:
            self._asked = []

    def at(self, point: int, x: Tensor) -> Evaluation:
        """The evaluation of `x` at a grid point."""
        return Evaluation(point, x, float(self.solver.grid.timestep[point]))

    def step(self, x: Tensor, output: Tensor, start: int, end: int) -> Tensor:
        """The DDIM step of `x` (c, h, w) from point to point, given the network's output there."""
        return self.solver.step(x[None, None], output[None], torch.tensor([start]), torch.tensor([end]))[0, 0]

    def steps_from(self, x: Tensor, outputs: Tensor, first: int) -> Tensor:
        """One fine DDIM step from each of the points `first`, `first + 1`, ...: (b, c, h, w) to (b, c, h, w)."""
        start = torch.arange(first, first + len(x))
        return self.solver.step(x[:, None], outputs, start, start + 1)[:, 0]

    def noise_predicted(self, x: Tensor, outputs: Tensor, first: int) -> Tensor:
        """What the outputs at the points `first`, `first + 1`, ... say of the noise, (b, c, h, w)."""
        grid = self.solver.grid
        alpha, sigma = (c[first : first + len(x)].to(x)[:, None, None, None] for c in (grid.alpha, grid.sigma))
        return predictions(x, outputs, alpha, sigma, self.solver.prediction)[1]
