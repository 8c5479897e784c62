"""A solver that begins with a noised picture, and may have to keep a part of it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sampler.grid import Grid, Level
from sampler.solvers.base import LinearForm, Prediction, Solver, broadcastable, levels


@dataclass(frozen=True, slots=True)
class Kept:
    """The part of a state that a mask keeps. At each grid point it is the picture, noised to the point's level.

    diffusers puts it back after every step: `x = (1 - free) (alpha image + sigma noise) + free x`.

    Attributes:
        free: (c, h, w), 1 where the sample is painted and 0 where it is kept.
        image, noise: (c, h, w) the picture's latents and the noise, times 1 - free.
    """

    free: Tensor
    image: Tensor
    noise: Tensor

    @property
    def binary(self) -> bool:
        """Whether each value is either painted or kept."""
        return bool(((self.free == 0) | (self.free == 1)).all())

    def at(self, level: Level) -> Tensor:
        """(c, h, w) What is kept, at a noise level; 0 in the free part."""
        return level[0] * self.image + level[1] * self.noise

    def put_back(self, x: Tensor, level: Level) -> Tensor:
        """`x` (c, h, w) with the kept part as it is at a noise level."""
        return self.free * x + self.at(level)


@dataclass(frozen=True, slots=True)
class FromPicture:
    """A solver whose first state is a noised picture: diffusers' image-to-image and inpainting pipelines.

    The rule of a mask belongs to the step: it is applied to the sample that every step, fine or coarse, arrives at, and
    not to the solver's history. So F and G of Parareal agree in the kept part, its correction is zero there, and the
    part is right in every iterate.

    Attributes:
        inner: the solver, on the grid from the first point that is visited.
        image: (c, h, w) the picture's latents; None if the first state is pure noise.
        kept: what a mask keeps; None without a mask.
    """

    inner: Solver
    image: Tensor | None
    kept: Kept | None = None

    @property
    def grid(self) -> Grid:
        """See `Solver.grid`."""
        return self.inner.grid

    @property
    def prediction(self) -> Prediction:
        """See `Solver.prediction`."""
        return self.inner.prediction

    @property
    def linear(self) -> LinearForm | None:
        """See `Solver.linear`; None with a mask of values between 0 and 1, each of which has its own recursion."""
        form = self.inner.linear
        if form is None or self.kept is None:
            return form
        return replace(form, kept=self.kept) if self.kept.binary else None

    def initial(self, noise: Tensor) -> Tensor:
        """See `Solver.initial`."""
        if self.image is None:
            return self.inner.initial(noise)
        alpha, sigma = self.grid.departs[0]
        return self.inner.initial((alpha * self.image + sigma * noise) / self.grid.noise)

    def step(self, state: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """See `Solver.step`."""
        arrived = self.inner.step(state, output, start, end)
        if self.kept is None:
            return arrived
        there = torch.tensor(levels(self.grid.visits, end), dtype=torch.float64).T
        alpha, sigma = broadcastable(there, state)
        sample = self.kept.free * arrived[:, 0] + alpha * self.kept.image + sigma * self.kept.noise
        return torch.cat([sample[:, None], arrived[:, 1:]], 1)


def kept_by(solver: Solver) -> Kept | None:
    """What the mask of a solver keeps; None without one."""
    return solver.kept if isinstance(solver, FromPicture) else None
