"""Stable Diffusion XL: two text encoders, a pooled embedding, and the picture's size among the conditions."""

import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler.models.base import DiffusersModel, refuse
from sampler.models.conditions import Inputs, Prompt


class StableDiffusionXL(DiffusersModel):
    """A `StableDiffusionXLPipeline` as a `sampler.denoiser.Model`."""

    network = "unet"

    def encode(
        self,
        prompt: str,
        negative_prompt: str = "",
        guidance_scale: float = 5.0,
        *,
        guidance_rescale: float = 0.0,
        **options: float,
    ) -> Prompt:
        """Encode a prompt. Without a negative prompt the pipeline uses zeros, if the model is configured so."""
        refuse(options)
        guided = guidance_scale > 1
        with torch.inference_mode():
            text, negative, pooled, negative_pooled = self.pipeline.encode_prompt(
                prompt, None, self.device, 1, guided, negative_prompt or None
            )
        against = {"text": negative, "pooled": negative_pooled} if guided else None
        return Prompt({"text": text, "pooled": pooled}, against, guidance_scale, guidance_rescale)

    def _forward(self, x: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        size = (x.shape[2] * self.scale, x.shape[3] * self.scale)
        # original size, crop and target size, as the pipeline has them by default
        time_ids = torch.tensor([[*size, 0, 0, *size]], device=x.device, dtype=x.dtype).expand(len(x), -1)
        added = {"text_embeds": inputs["pooled"], "time_ids": time_ids}
        text = inputs["text"]
        return self._network(x, timestep, encoder_hidden_states=text, added_cond_kwargs=added).sample
