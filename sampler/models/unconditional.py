"""Unconditional models over pixels: DDPM and DDIM pipelines with a UNet."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler.models.base import DiffusersModel, refuse
from sampler.models.conditions import Inputs, Prompt


class Unconditional(DiffusersModel):
    """A `DDPMPipeline` or `DDIMPipeline` as a `sampler.denoiser.Model`; prompts and guidance mean nothing here."""

    network = "unet"

    @property
    def scale(self) -> int:
        """Samples are the pixels themselves."""
        return 1

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this many pixels: the UNet halves them so often."""
        return 2 ** (len(self._network.config.block_out_channels) - 1)

    def encode(self, prompt: str, negative_prompt: str = "", guidance_scale: float = 1.0, **options: float) -> Prompt:
        """No condition."""
        refuse(options)
        return Prompt({})

    def _forward(self, x: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        return self._network(x, timestep).sample

    def _pictures(self, samples: Tensor) -> Tensor:
        return samples
