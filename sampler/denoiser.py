"""The protocols of models: `Denoiser` for the engine, `Model` for its callers."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sampler.original import Original, Reference
from sampler.solvers import Solver


@dataclass(frozen=True, slots=True)
class Lora:
    """Changes to a model's weights that a picture is made with (low-rank adaptation).

    Attributes:
        name: for messages.
        location: its `.safetensors` file.
        scale: how strongly it takes part; 1 as it was trained.
    """

    name: str
    location: str
    scale: float = 1.0


class Condition(Protocol):
    """The conditioning of a sample: prompt, guidance and the like. Only its model makes and reads it."""

    @property
    def signature(self) -> Hashable:
        """Conditions with equal signatures can share a batch."""
        ...

    @property
    def loras(self) -> Sequence[Lora]:
        """What changes the model's weights for it. Samples with equal ones can share a round."""
        ...


class Denoiser(Protocol):
    """The network, guidance included."""

    @property
    def device(self) -> torch.device:
        """The device of samples."""
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
    """A whole model: the network, and the way from a prompt to a trajectory and back to a picture."""

    def solver(
        self,
        steps: int,
        name: str | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        seed: int = 0,
        eta: float = 0.0,
        original: Original | None = None,
    ) -> Solver:
        """A solver over this model's grid of `steps` steps.

        Args:
            steps: as a diffusers pipeline counts them; "heun" takes two evaluations for each but the last.
            name: "ddim", "ddpm", "euler", "heun" or "dpm++"; None for the solver of the model's own scheduler.
            height, width: of the picture, in pixels; some flow models' grids depend on it. None for the model's own.
            seed: of the noise that stochastic solvers add.
            eta: how much noise "ddim" adds, from 0 (none) to 1.
            original: the picture to begin with, of this height and width: the grid then begins at the point that its
                strength asks for, and `seed` is also that of its noise.

        Raises:
            ValueError: `steps` out of range, or a solver that this model does not have.
        """
        ...

    def noise(
        self, seed: int, height: int, width: int, *, original: Original | None = None, steps: int | None = None
    ) -> Tensor:
        """Unit normal noise (c, h, w) on `device` for a picture of `height` x `width` pixels; the same on every device.

        Args:
            seed: of the noise.
            height, width: of the picture.
            original: the picture to begin with: the noise is what is drawn after it was encoded.
            steps: of the grid; with an original only.

        Raises:
            ValueError: a size that the model cannot make.
        """
        ...

    def encode(
        self,
        prompt: str,
        negative_prompt: str = "",
        guidance_scale: float = 7.5,
        *,
        steps: int | None = None,
        height: int | None = None,
        width: int | None = None,
        original: Original | None = None,
        references: Sequence[Reference] = (),
        seed: int = 0,
        loras: Sequence[Lora] = (),
        **options: float,
    ) -> Condition:
        """Encode a prompt.

        Args:
            steps: of the grid; some pipelines guide differently at some of them. None if that does not matter.
            height, width: of the picture, in pixels; None for any.
            original: the picture to begin with.
            references: pictures to look at.
            seed: of its noise; with an original only.
            loras: see `Lora`; they change what the prompt means, too.
            options: guidance settings that only some models take, such as `guidance_rescale` (0 to 1, 0 is off) and
                `true_cfg_scale` (above 1: classifier-free guidance of a model whose `guidance_scale` is an input of the
                network).

        Raises:
            ValueError: an option that this model does not take, a reference that it cannot read, or a LoRA that does
                not fit it.
        """
        ...

    def substitute(self) -> tuple[str, str] | None:
        """The solver that samples in place of the model's own scheduler, and the scheduler's name, if there is no
        solver here that does what it does; else None."""
        ...

    def decode(self, samples: Tensor) -> Tensor:
        """Samples (b, c, h, w) to pictures (b, H, W, 3), uint8 on the CPU."""
        ...
