"""Stable Diffusion 1.x and 2.x style pipelines: a UNet over latents, CLIP text, an autoencoder."""

from functools import lru_cache
from typing import Any

import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler.models.base import DiffusersModel, refuse
from sampler.models.conditions import Inputs, Prompt

# How many encoded texts are kept, some 100 kB each.
TEXTS = 64


class StableDiffusion(DiffusersModel):
    """A `StableDiffusionPipeline` as a `sampler.denoiser.Model`."""

    network = "unet"
    without = {"safety_checker": None, "requires_safety_checker": False}  # noqa: RUF012

    def __init__(self, pipeline: Any) -> None:
        """See `DiffusersModel`."""
        super().__init__(pipeline)
        # Most prompts share the empty negative one, and several pictures of one prompt are common.
        self._text = lru_cache(maxsize=TEXTS)(self._encoded)

    def encode(
        self,
        prompt: str,
        negative_prompt: str = "",
        guidance_scale: float = 7.5,
        *,
        guidance_rescale: float = 0.0,
        **options: float,
    ) -> Prompt:
        """Encode a prompt; what exceeds the text encoder's length is cut off, as diffusers does."""
        refuse(options)
        negative = {"text": self._text(negative_prompt)} if guidance_scale > 1 else None
        return Prompt({"text": self._text(prompt)}, negative, guidance_scale, guidance_rescale)

    def _encoded(self, text: str) -> Tensor:
        with torch.inference_mode():
            return self.pipeline.encode_prompt(text, self.device, 1, False)[0]

    def _forward(self, x: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        return self._network(x, timestep, encoder_hidden_states=inputs["text"]).sample
