"""PixArt-Alpha and PixArt-Sigma: a transformer over latents, T5 text."""

import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler.models.base import DiffusersModel, refuse
from sampler.models.conditions import Inputs, Prompt

WORDS = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300}


class PixArt(DiffusersModel):
    """A `PixArtAlphaPipeline` or `PixArtSigmaPipeline` as a `sampler.denoiser.Model`, at the size that is asked for.

    (The pipelines themselves round the size to a table's, unless `use_resolution_binning=False` is set.)
    """

    network = "transformer"

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return self.scale * self._network.config.patch_size

    def encode(self, prompt: str, negative_prompt: str = "", guidance_scale: float = 4.5, **options: float) -> Prompt:
        """Encode a prompt; what exceeds the text encoder's length is cut off, as diffusers does."""
        refuse(options)
        guided = guidance_scale > 1
        with torch.inference_mode():
            text, mask, negative, negative_mask = self.pipeline.encode_prompt(
                prompt,
                guided,
                negative_prompt=negative_prompt,
                device=self.device,
                max_sequence_length=WORDS[type(self.pipeline).__name__],
            )
        against = {"text": negative, "mask": negative_mask} if guided else None
        return Prompt({"text": text, "mask": mask}, against, guidance_scale)

    def _forward(self, x: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        added: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
        if self._network.use_additional_conditions:
            size = torch.tensor([[x.shape[2] * self.scale, x.shape[3] * self.scale]]).to(x)
            added = {
                "resolution": size.expand(len(x), -1),
                "aspect_ratio": torch.full((len(x), 1), x.shape[2] / x.shape[3]).to(x),
            }
        output: Tensor = self._network(
            x,
            encoder_hidden_states=inputs["text"],
            encoder_attention_mask=inputs["mask"],
            timestep=timestep,
            added_cond_kwargs=added,
        ).sample
        return output[:, : x.shape[1]]  # the rest is a learned variance, which no solver here reads
