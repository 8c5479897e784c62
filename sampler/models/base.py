"""The base of all families: a diffusers pipeline, its noise process, its autoencoder."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import diffusers
import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler.models.conditions import Inputs, Prompt, guided_output
from sampler.models.process import Process
from sampler.solvers import Solver


class DiffusersModel(ABC):
    """A diffusers pipeline as a `sampler.denoiser.Model`. A family defines how to encode and to call its network."""

    network: ClassVar[str]  # the pipeline's attribute
    without: ClassVar[dict[str, Any]] = {}  # components (and options) that are not to be loaded

    def __init__(self, pipeline: Any) -> None:
        """Take over a pipeline that is on its device already.

        Raises:
            UnsupportedModel: its scheduler cannot be sampled.
        """
        self.pipeline = pipeline
        self.process = Process(pipeline.scheduler)

    @classmethod
    def load(cls, folder: str, pipeline: str, device: torch.device, dtype: torch.dtype) -> Self:
        """From a local folder, safetensors only; `pipeline` is the name of its class."""
        made: Any = getattr(diffusers, pipeline).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, **cls.without
        )
        made.set_progress_bar_config(disable=True)
        made.to(device)
        vae = getattr(made, "vae", None)
        # The faster layout for convolutions, on CPUs and GPUs alike; without effect on other layers.
        for network in (getattr(made, cls.network), vae):
            if network is not None:
                network.to(memory_format=torch.channels_last)
        if dtype == torch.float16 and vae is not None and vae.config.get("force_upcast"):
            vae.to(torch.float32)
        return cls(made)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._place[0]

    # Cached: diffusers goes through all modules on each access, which takes longer than a solver's step.

    @cached_property
    def _place(self) -> tuple[torch.device, torch.dtype]:
        return self._network.device, self._network.dtype

    @cached_property
    def _autoencoder(self) -> tuple[torch.device, torch.dtype]:
        return self.pipeline.vae.device, self.pipeline.vae.dtype

    @property
    def scale(self) -> int:
        """Pixels a latent, along each side."""
        return self.pipeline.vae_scale_factor

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return self.scale

    @property
    def channels(self) -> int:
        """Of a sample."""
        return self._network.config.in_channels

    def solver(
        self,
        steps: int,
        name: str | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        seed: int = 0,
        eta: float = 0.0,
    ) -> Solver:
        """See `sampler.denoiser.Model.solver`."""
        schedule = self._schedule(steps, height, width) if self.process.flow else {}
        return self.process.solver(steps, name, seed, eta, **schedule)

    def noise(self, seed: int, height: int, width: int) -> Tensor:
        """Unit normal noise (c, h, w) for a picture of `height` x `width` pixels; the same on every device.

        Raises:
            ValueError: a size that the model cannot make.
        """
        multiple = self.multiple
        if height % multiple or width % multiple or min(height, width) < multiple:
            raise ValueError(f"height and width must be multiples of {multiple}, not {height} x {width}")
        shape = (self.channels, height // self.scale, width // self.scale)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self.device)

    @abstractmethod
    def encode(self, prompt: str, negative_prompt: str = "", guidance_scale: float = 7.5, **options: float) -> Prompt:
        """See `sampler.denoiser.Model.encode`. What exceeds the text encoder's length is cut off, as diffusers does."""

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Prompt]) -> Tensor:
        """See `sampler.denoiser.Denoiser.denoise`."""
        _, dtype = self._place
        return guided_output(x, timestep, conditions, lambda x, t, inputs: self._forward(x.to(dtype), t, inputs))

    def decode(self, samples: Tensor) -> Tensor:
        """Samples (b, c, h, w) to pictures (b, H, W, 3), uint8 on the CPU."""
        with torch.inference_mode():
            pictures = self._pictures(samples).float()
        pictures = (pictures / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
        return (pictures * 255).round().to("cpu", torch.uint8)

    @property
    def _network(self) -> Any:
        return getattr(self.pipeline, self.network)

    @abstractmethod
    def _forward(self, x: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        """The network: x (b, c, h, w) in its dtype, timestep (b,) float32, inputs (b, ...); to (b, c, h, w)."""

    def _schedule(self, steps: int, height: int | None, width: int | None) -> dict[str, Any]:
        """What a flow model's pipeline passes to its scheduler's `set_timesteps`, for a size in pixels."""
        return {}

    def _tokens(self, height: int | None, width: int | None) -> int:
        """The number of tokens of a picture in a transformer; None for the pipeline's own size."""
        side = self.pipeline.default_sample_size * self.scale
        return ((height or side) // self.multiple) * ((width or side) // self.multiple)

    def _pictures(self, samples: Tensor) -> Tensor:
        """Latents to pictures (b, 3, H, W) in -1 .. 1."""
        vae = self.pipeline.vae
        latents = samples.to(*self._autoencoder)
        mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
        if mean is not None and std is not None:
            shape = (1, -1, 1, 1)
            latents = latents * torch.tensor(std).view(shape).to(latents) / vae.config.scaling_factor
            latents = latents + torch.tensor(mean).view(shape).to(latents)
        else:
            latents = latents / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0.0)
        return vae.decode(latents).sample


def refuse(options: Mapping[str, float]) -> None:
    """Refuse the options of `encode` that a family does not take.

    Raises:
        ValueError: there are some; the message names them.
    """
    if options:
        raise ValueError(f"this model does not take {', '.join(options)}: leave it out")


def dynamic_shift(config: Any, tokens: int, max_shift: float) -> float:
    """mu, the resolution-dependent shift of a flow-matching scheduler (diffusers' `calculate_shift`).

    Args:
        config: the scheduler's.
        tokens: of the image, as the transformer counts them.
        max_shift: for a config without one.
    """
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    bottom, top = config.get("base_shift", 0.5), config.get("max_shift", max_shift)
    slope = (top - bottom) / (high - low)
    return tokens * slope + bottom - slope * low
