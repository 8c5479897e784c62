"""Flux: flow matching over packed latents, CLIP and T5 text, guidance as an input of the network."""

from typing import Any

import numpy as np
import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler.models.base import DiffusersModel, dynamic_shift, refuse
from sampler.models.conditions import Inputs, Prompt


class Flux(DiffusersModel):
    """A `FluxPipeline` as a `sampler.denoiser.Model`; samples are the latents before they are packed, (16, h, w)."""

    network = "transformer"

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this many pixels: latents are packed two by two."""
        return self.scale * 2

    @property
    def channels(self) -> int:
        """Of a sample."""
        return self._network.config.in_channels // 4

    def encode(
        self,
        prompt: str,
        negative_prompt: str = "",
        guidance_scale: float = 3.5,
        *,
        true_cfg_scale: float = 1.0,
        **options: float,
    ) -> Prompt:
        """Encode a prompt.

        Args:
            guidance_scale: an input of the network, if it takes one; costs nothing.
            true_cfg_scale: above 1, classifier-free guidance against `negative_prompt`; costs a second row.
        """
        refuse(options)
        guided = true_cfg_scale > 1
        positive = self._inputs(prompt, guidance_scale)
        return Prompt(positive, self._inputs(negative_prompt, guidance_scale) if guided else None, true_cfg_scale)

    def _inputs(self, prompt: str, guidance_scale: float) -> Inputs:
        with torch.inference_mode():
            text, pooled, _ = self.pipeline.encode_prompt(prompt, device=self.device)
        return {"text": text, "pooled": pooled, "guidance": torch.tensor([guidance_scale], device=self.device)}

    def _forward(self, x: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        b, c, height, width = x.shape
        text = inputs["text"]
        rows, columns = torch.meshgrid(torch.arange(height // 2), torch.arange(width // 2), indexing="ij")
        image_ids = torch.stack([torch.zeros_like(rows), rows, columns], -1).flatten(0, 1).to(x)
        packed: Tensor = self._network(
            hidden_states=self.pipeline._pack_latents(x, b, c, height, width),
            timestep=timestep.to(x.dtype) / 1000,
            guidance=inputs["guidance"] if self._network.config.guidance_embeds else None,
            pooled_projections=inputs["pooled"],
            encoder_hidden_states=text,
            txt_ids=torch.zeros(text.shape[1], 3).to(x),
            img_ids=image_ids,
        ).sample
        return self.pipeline._unpack_latents(packed, height * self.scale, width * self.scale, self.scale)

    def _schedule(self, steps: int, height: int | None, width: int | None) -> dict[str, Any]:
        if steps < 1:
            raise ValueError(f"steps must be 1 or more, not {steps}")
        config = self.pipeline.scheduler.config
        mu = dynamic_shift(config, self._tokens(height, width), 1.15)
        return {"sigmas": np.linspace(1.0, 1 / steps, steps), "mu": mu}
