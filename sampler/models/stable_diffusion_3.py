"""Stable Diffusion 3 and 3.5: flow matching, a transformer, two CLIP encoders and optionally T5."""

from typing import Any

import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler.models.base import DiffusersModel, dynamic_shift, refuse
from sampler.models.conditions import Inputs, Prompt


class StableDiffusion3(DiffusersModel):
    """A `StableDiffusion3Pipeline` as a `sampler.denoiser.Model`."""

    network = "transformer"

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return self.scale * self._network.config.patch_size

    def encode(self, prompt: str, negative_prompt: str = "", guidance_scale: float = 7.0, **options: float) -> Prompt:
        """Encode a prompt; what exceeds the text encoders' lengths is cut off, as diffusers does."""
        refuse(options)
        guided = guidance_scale > 1
        with torch.inference_mode():
            text, negative, pooled, negative_pooled = self.pipeline.encode_prompt(
                prompt, None, None, self.device, 1, guided, negative_prompt
            )
        against = {"text": negative, "pooled": negative_pooled} if guided else None
        return Prompt({"text": text, "pooled": pooled}, against, guidance_scale)

    def _forward(self, x: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        return self._network(
            hidden_states=x,
            timestep=timestep,
            encoder_hidden_states=inputs["text"],
            pooled_projections=inputs["pooled"],
        ).sample

    def _schedule(self, steps: int, height: int | None, width: int | None) -> dict[str, Any]:
        config = self.pipeline.scheduler.config
        if not config.get("use_dynamic_shifting"):
            return {}
        return {"mu": dynamic_shift(config, self._tokens(height, width), 1.16)}
