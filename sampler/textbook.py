"""SRDS as the paper writes it: every block, every iteration, one after another. For readers, and as the tests' oracle.

Selvam, Merchant, Ermon, "Self-Refining Diffusion Samplers", NeurIPS 2024 (arXiv 2412.08292), Algorithm 1. What runs in
the engine computes the same iterates in fewer rounds: see `sampler.methods.srds.parareal`.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sampler.grid import block_edges
from sampler.solvers import Solver

# The network: a sample (1, c, h, w) and a timestep (1,) to its output (1, c, h, w).
Network = Callable[[Tensor, Tensor], Tensor]


def srds(solver: Solver, network: Network, noise: Tensor, blocks: int) -> Iterator[Tensor]:
    """Yield x[B, p] for p = 0, 1, ... B: the image as each iterate estimates it, (c, h, w).

    Args:
        solver: with its grid of N steps.
        network: see `Network`.
        noise: (c, h, w), unit normal.
        blocks: B, from 1 to N.
    """
    edges = block_edges(solver.grid.steps, blocks)

    def step(x: Tensor, start: int, end: int) -> Tensor:
        output = network(x[:1], solver.grid.timestep[start : start + 1])
        return solver.step(x[None], output, torch.tensor([start]), torch.tensor([end]))[0]

    def F(x: Tensor, i: int) -> Tensor:  # noqa: N802
        for point in range(edges[i], edges[i + 1]):
            x = step(x, point, point + 1)
        return x

    def G(x: Tensor, i: int) -> Tensor:  # noqa: N802
        return step(x, edges[i], edges[i + 1])

    x = [solver.initial(noise)]
    for i in range(blocks):
        x.append(G(x[i], i))  # x[i+1, 0] = G(x[i, 0])
    coarse = x[1:]
    yield x[blocks][0]
    for _ in range(blocks):
        fine = [F(x[i], i) for i in range(blocks)]
        previous_coarse, coarse = coarse, list[Tensor]()
        for i in range(blocks):  # x[i+1, p+1] = F(x[i, p]) + G(x[i, p+1]) - G(x[i, p])
            coarse.append(G(x[i], i))
            x[i + 1] = fine[i] + coarse[i] - previous_coarse[i]
        yield x[blocks][0]
