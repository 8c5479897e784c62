"""ParaDiGMS: Picard iteration over a sliding window.

Shih, Belkhale, Ermon, Sadigh, Anari, "Parallel Sampling of Diffusion Models", NeurIPS 2023 (arXiv 2305.16317),
algorithm 1. Details that the paper leaves open are those of diffusers' `StableDiffusionParadigmsPipeline` with a
`DDIMParallelScheduler`, which `tests/benchmarks` compares it with.

    x'[j+1] = x[b] + sum over b <= i <= j of (step(x[i]) - x[i]),    for all j of the window [b, e)

The window then starts at the first point whose x' is farther from x than the tolerance times the noise of DDPM's step
there (RMS), at least one point on; new points are copies of the last one.
"""

import torch
from torch import Tensor

from benchmarks.peers.base import Published, Rounds
from sampler import DDIM

# What the authors' scripts and diffusers' pipeline take.
PUBLISHED_TOLERANCE = 0.1


class ParaDiGMS(Published):
    """ParaDiGMS of one sample.

    The image shown while the window does not reach the end: one DDIM step to it from the window's last point.
    """

    def __init__(self, solver: DDIM, noise: Tensor, width: int, *, tolerance: float = PUBLISHED_TOLERANCE) -> None:
        """Start from noise: `tolerance` is the paper's tau, the window as wide as a round. See `Published`."""
        self.tolerance = tolerance
        super().__init__(solver, noise, width)

    def _sample(self) -> Rounds:
        x = self.start.repeat(self.steps + 1, 1, 1, 1)
        spread = self._spread()
        begin, end = 0, min(self.width, self.steps)
        while begin < self.steps:
            window = x[begin:end]
            outputs = yield [self.at(begin + n, point) for n, point in enumerate(window)]
            drift = self.steps_from(window, outputs, begin) - window
            moved = x[begin] + drift.cumsum(0)
            change = (moved - x[begin + 1 : end + 1]).square().mean((1, 2, 3)).double()
            exceeds = change > self.tolerance**2 * spread[begin + 1 : end + 1]
            x[begin + 1 : end + 1] = moved
            # To the point N in one step; the same as the iteration's own x[N] where the window ends there.
            last = self.step(x[end - 1], outputs[-1], end - 1, self.steps)
            self.estimate = x[-1].clone() if end == self.steps else last
            begin += 1 + (int(exceeds.int().argmax()) if bool(exceeds.any()) else end - begin - 1)
            newest, end = end, min(begin + self.width, self.steps)
            x[newest : end + 1] = x[newest].clone()

    def _spread(self) -> Tensor:
        """(n + 1,) variance of DDPM's step from each point (eq. 16 of Song, Meng, Ermon 2021, eta = 1); 0 at N."""
        grid = self.solver.grid
        kept = (grid.alpha / grid.alpha_to).square()
        return torch.cat([(grid.sigma_to / grid.sigma).square() * (1 - kept), torch.zeros(1).double()])
