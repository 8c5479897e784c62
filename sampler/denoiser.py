"""The Denoiser: what the engine needs of a model."""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Condition(Protocol):
    """What a sample is conditioned on: prompt, guidance and the like; made and understood by its model alone."""

    @property
    def signature(self) -> Hashable:
        """Conditions with equal signatures can share a batch."""
        ...


class Denoiser(Protocol):
    """The network, guidance included."""

    @property
    def device(self) -> torch.device:
        """Where samples are wanted."""
        ...

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Any]) -> Tensor:
        """One batched forward pass.

        Args:
            x: (b, c, h, w) float32 on `device`.
            timestep: (b,) float64 on the CPU, one per sample.
            conditions: b conditions of equal signature.

        Returns:
            The outputs, (b, c, h, w) float32 on `device`.
        """
        ...


def guide(unconditional: Tensor, conditional: Tensor, scale: Tensor) -> Tensor:
    """Classifier-free guidance, `u + s (c - u)` (Ho, Salimans 2022, in the form of diffusers' pipelines).

    Args:
        unconditional, conditional: (b, c, h, w).
        scale: (b,), one guidance scale per sample.
    """
    return unconditional + scale.to(conditional)[:, None, None, None] * (conditional - unconditional)
