"""Scalars from samples: how much one contains of another, and how far one moved."""

import torch
from torch import Tensor


def projection(u: Tensor, v: Tensor) -> Tensor:
    """The coefficient of `u` projected on `v`: <u, v> / <v, v>, a scalar tensor; 1 if v is 0."""
    square = v.square().sum()
    return torch.where(square > 0, (u * v).sum() / square, 1.0)


def residual(sample: Tensor, previous: Tensor) -> float:
    """RMS of the difference over RMS of `sample`."""
    return float(((sample - previous).square().mean() / sample.square().mean()).sqrt())
