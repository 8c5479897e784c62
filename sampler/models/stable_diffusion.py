"""Stable Diffusion 1.x and 2.x style pipelines: a UNet over latents, CLIP text, an autoencoder."""

import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers says little of its types)
from torch import Tensor

from sampler.models.base import DiffusersModel
from sampler.models.conditions import Inputs, Prompt


class StableDiffusion(DiffusersModel):
    """A `StableDiffusionPipeline` as the sampler sees it."""

    network = "unet"
    without = {"safety_checker": None, "requires_safety_checker": False}  # noqa: RUF012

    def encode(
        self, prompt: str, negative_prompt: str = "", guidance_scale: float = 7.5, guidance_rescale: float = 0.0
    ) -> Prompt:
        """Encode a prompt; what exceeds the text encoder's length is cut off, as diffusers does."""
        guided = guidance_scale > 1
        with torch.inference_mode():
            text, negative = self.pipeline.encode_prompt(prompt, self.device, 1, guided, negative_prompt)
        return Prompt({"text": text}, {"text": negative} if guided else None, guidance_scale, guidance_rescale)

    def _forward(self, x: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        return self._network(x, timestep, encoder_hidden_states=inputs["text"], return_dict=False)[0]
