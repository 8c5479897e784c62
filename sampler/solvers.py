"""Solvers: pure batched maps over one step of the grid, given the network's output where the step starts."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from sampler.grid import Grid

Prediction = Literal["epsilon", "v_prediction", "sample"]


class Solver(Protocol):
    """A one-evaluation step between any two grid points; fine steps and coarse steps are the same map.

    What is carried from point to point is a state (m, c, h, w) whose first entry is the sample; a multistep solver
    keeps its history in the others.
    """

    @property
    def grid(self) -> Grid:
        """The grid that `start` and `end` index."""
        ...

    def initial(self, noise: Tensor) -> Tensor:
        """The state (m, c, h, w) at point 0, from unit noise (c, h, w)."""
        ...

    def step(self, state: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Take each state from its point `start` to its point `end`.

        Args:
            state: (b, m, c, h, w) float32.
            output: (b, c, h, w) float32, what the network said of each sample at its `start`.
            start, end: (b,) int64 grid points, start < end, on the CPU.

        Returns:
            The states at `end`, (b, m, c, h, w) float32.
        """
        ...


def predictions(x: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor, kind: Prediction) -> tuple[Tensor, Tensor]:
    """What a network output says of the image and of the noise: (x0, eps), both shaped like `x`.

    `x = alpha * x0 + sigma * eps`. Source: Song et al. 2021 (DDIM) eq. 9 and 12; Salimans, Ho 2022 appendix D for v.
    """
    if kind == "epsilon":
        return (x - sigma * output) / alpha, output
    if kind == "v_prediction":
        return alpha * x - sigma * output, alpha * output + sigma * x
    return output, (x - alpha * output) / sigma


@dataclass(frozen=True, slots=True)
class DDIM:
    """The deterministic DDIM step: `x' = alpha' * x0 + sigma' * eps` (Song, Meng, Ermon 2021, eq. 12, eta = 0).

    Attributes:
        grid: the time points.
        prediction: what the network's output means.
        clip: bound on |x0| as in diffusers' `clip_sample`, or None. The noise stays the unclipped one.
    """

    grid: Grid
    prediction: Prediction = "epsilon"
    clip: float | None = None

    def initial(self, noise: Tensor) -> Tensor:
        """Unit noise is the state at point 0: (c, h, w) to (1, c, h, w) float32."""
        return noise.float().unsqueeze(0)

    def step(self, state: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """See `Solver.step`."""
        grid = self.grid
        coefficients = torch.stack(
            [grid.alpha[start], grid.sigma[start], grid.alpha_to[end - 1], grid.sigma_to[end - 1]]
        )
        alpha, sigma, alpha_to, sigma_to = coefficients.to(state.device, state.dtype)[:, :, None, None, None]
        x0, eps = predictions(state[:, 0], output, alpha, sigma, self.prediction)
        if self.clip is not None:
            x0 = x0.clamp(-self.clip, self.clip)
        return (alpha_to * x0 + sigma_to * eps).unsqueeze(1)
