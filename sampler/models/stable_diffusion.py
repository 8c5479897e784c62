"""Stable Diffusion 1.x and 2.x style pipelines: a UNet over latents, CLIP text, an autoencoder, DDIM."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (diffusers says little of its types)
from diffusers import DDIMScheduler, StableDiffusionPipeline
from torch import Tensor

from sampler.denoiser import guide
from sampler.errors import UnsupportedModel
from sampler.grid import ddim_grid
from sampler.solvers import DDIM


@dataclass(frozen=True, slots=True)
class TextCondition:
    """A prompt, encoded.

    Attributes:
        text: (1, l, d), the prompt.
        negative: (1, l, d), the negative prompt; None where guidance is off.
        guidance_scale: above 1 guides; as in diffusers, 1 and below does not and costs half.
    """

    text: Tensor
    negative: Tensor | None
    guidance_scale: float

    @property
    def signature(self) -> Hashable:
        """Prompts of equal length share a batch."""
        return tuple(self.text.shape)


class StableDiffusion:
    """A `StableDiffusionPipeline` as the sampler sees it."""

    def __init__(self, pipeline: StableDiffusionPipeline) -> None:
        """Take over a pipeline that is on its device already.

        Raises:
            UnsupportedModel: its scheduler cannot be sampled as DDIM.
        """
        self.pipeline: Any = pipeline
        config: Any = pipeline.scheduler.config
        if "num_train_timesteps" not in config or "beta_schedule" not in config:
            raise UnsupportedModel(f"{type(pipeline.scheduler).__name__} has no variance-preserving noise schedule")
        self.scheduler: Any = DDIMScheduler.from_config(config)
        config = self.scheduler.config
        if config.thresholding:
            raise UnsupportedModel("dynamic thresholding is not supported: set thresholding to false in the scheduler")
        if config.rescale_betas_zero_snr and config.prediction_type == "epsilon":
            raise UnsupportedModel("a schedule that starts at zero signal needs v_prediction, not epsilon")
        self.clip: float | None = config.clip_sample_range if config.clip_sample else None

    @classmethod
    def load(cls, folder: Path, device: torch.device, dtype: torch.dtype) -> "StableDiffusion":
        """From a local folder, safetensors only."""
        pipeline = StableDiffusionPipeline.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, safety_checker=None,
            requires_safety_checker=False,
        )  # fmt: skip
        pipeline.set_progress_bar_config(disable=True)
        pipeline.to(device)
        if dtype == torch.float16 and pipeline.vae.config.force_upcast:
            pipeline.vae.to(torch.float32)
        return cls(pipeline)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.pipeline.unet.device

    def solver(self, steps: int) -> DDIM:
        """DDIM over this model's grid of `steps` steps.

        Raises:
            ValueError: `steps` out of range.
        """
        return DDIM(ddim_grid(self.scheduler, steps), self.scheduler.config.prediction_type, self.clip)

    def noise(self, seed: int, height: int, width: int) -> Tensor:
        """Unit normal noise (c, h, w) for a picture of `height` x `width` pixels; the same on every device.

        Raises:
            ValueError: a size that the autoencoder cannot make.
        """
        scale: int = self.pipeline.vae_scale_factor
        if height % scale or width % scale or min(height, width) < scale:
            raise ValueError(f"height and width must be multiples of {scale}, not {height} x {width}")
        shape = (self.pipeline.unet.config.in_channels, height // scale, width // scale)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self.device)

    def encode(self, prompt: str, negative_prompt: str = "", guidance_scale: float = 7.5) -> TextCondition:
        """Encode a prompt; what exceeds the text encoder's length is cut off, as diffusers does."""
        guided = guidance_scale > 1
        with torch.inference_mode():
            text, negative = self.pipeline.encode_prompt(prompt, self.device, 1, guided, negative_prompt)
        return TextCondition(text, negative if guided else None, guidance_scale)

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[TextCondition]) -> Tensor:
        """See `sampler.denoiser.Denoiser.denoise`; guided samples take two rows of the batch, others one."""
        guided = [n for n, condition in enumerate(conditions) if condition.negative is not None]
        rows = torch.tensor([*guided, *range(len(conditions))])
        text = [condition.negative for condition in conditions if condition.negative is not None]
        text += [condition.text for condition in conditions]
        unet = self.pipeline.unet
        timestep = timestep.to(self.device, torch.float32)[rows.to(self.device)]
        output: Tensor = unet(
            x[rows.to(x.device)].to(unet.dtype), timestep, encoder_hidden_states=torch.cat(text), return_dict=False
        )[0]
        unconditional, output = output.float().split([len(guided), len(conditions)])
        if guided:
            scale = torch.tensor([conditions[n].guidance_scale for n in guided])
            output = output.index_copy(0, rows[: len(guided)].to(x.device), guide(unconditional, output[guided], scale))
        return output

    def decode(self, samples: Tensor) -> Tensor:
        """Latents (b, c, h, w) to pictures (b, H, W, 3), uint8 on the CPU."""
        vae = self.pipeline.vae
        with torch.inference_mode():
            latents = samples.to(vae.device, vae.dtype) / vae.config.scaling_factor
            pictures: Tensor = vae.decode(latents, return_dict=False)[0].float()
        pictures = (pictures / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
        return (pictures * 255).round().to("cpu", torch.uint8)
