"""The Denoiser: what the engine needs of a model."""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from sampler.solvers import DDIM


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


class Model(Denoiser, Protocol):
    """A whole model: the network, and what it takes to get from a prompt to a trajectory and back to a picture."""

    def solver(self, steps: int) -> DDIM:
        """The serial solver over this model's grid of `steps` steps.

        Raises:
            ValueError: `steps` out of range.
        """
        ...

    def noise(self, seed: int, height: int, width: int) -> Tensor:
        """Unit normal noise (c, h, w) on `device` for a picture of `height` x `width` pixels; the same on every device.

        Raises:
            ValueError: a size that the model cannot make.
        """
        ...

    def encode(self, prompt: str, negative_prompt: str = "", guidance_scale: float = 7.5) -> Condition:
        """Encode a prompt."""
        ...

    def decode(self, samples: Tensor) -> Tensor:
        """Samples (b, c, h, w) to pictures (b, H, W, 3), uint8 on the CPU."""
        ...


def guide(unconditional: Tensor, conditional: Tensor, scale: Tensor) -> Tensor:
    """Classifier-free guidance, `u + s (c - u)` (Ho, Salimans 2022, in the form of diffusers' pipelines).

    Args:
        unconditional, conditional: (b, c, h, w).
        scale: (b,), one guidance scale per sample.
    """
    return unconditional + scale.to(conditional)[:, None, None, None] * (conditional - unconditional)
