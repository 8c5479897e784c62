"""DiT: a class-conditional transformer over latents."""

import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler.models.base import DiffusersModel, refuse
from sampler.models.conditions import Inputs, Prompt


class DiT(DiffusersModel):
    """A `DiTPipeline` as a `sampler.denoiser.Model`; the prompt is a class: its number, or its name if it has one."""

    network = "transformer"

    @property
    def scale(self) -> int:
        """Pixels a latent, along each side."""
        return 2 ** (len(self.pipeline.vae.config.block_out_channels) - 1)

    def noise(self, seed: int, height: int, width: int) -> Tensor:
        """See `DiffusersModel.noise`; DiT knows one size only."""
        side = self._network.config.sample_size * self.scale
        if (height, width) != (side, side):
            raise ValueError(f"height and width must be {side}, not {height} x {width}")
        return super().noise(seed, height, width)

    def encode(self, prompt: str, negative_prompt: str = "", guidance_scale: float = 4.0, **options: float) -> Prompt:
        """The class that `prompt` names; a negative prompt means nothing here and is not read.

        Raises:
            ValueError: no class of this model, or an option.
        """
        refuse(options)
        classes: int = self._network.config.num_embeds_ada_norm
        name = prompt.strip()
        number = int(name) if name.isdecimal() else self.pipeline.labels.get(name, classes)
        if number >= classes:
            raise ValueError(f"{prompt!r} is no class of this model: give a number from 0 to {classes - 1}, or a name")
        label = torch.tensor([number], device=self.device)
        null = torch.full_like(label, classes)  # the class that training dropped the others for
        return Prompt({"label": label}, {"label": null} if guidance_scale > 1 else None, guidance_scale)

    def _forward(self, x: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        output: Tensor = self._network(x, timestep=timestep, class_labels=inputs["label"]).sample
        return output[:, : x.shape[1]]  # the rest is a learned variance, which no solver here reads
