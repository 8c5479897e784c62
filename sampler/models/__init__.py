"""Model families: the only place that imports diffusers."""

from sampler.models.dit import DiT
from sampler.models.flux import Flux
from sampler.models.loading import FAMILIES, load_model
from sampler.models.pixart import PixArt
from sampler.models.stable_diffusion import StableDiffusion
from sampler.models.stable_diffusion_3 import StableDiffusion3
from sampler.models.stable_diffusion_xl import StableDiffusionXL
from sampler.models.unconditional import Unconditional

__all__ = [
    "FAMILIES",
    "DiT",
    "Flux",
    "PixArt",
    "StableDiffusion",
    "StableDiffusion3",
    "StableDiffusionXL",
    "Unconditional",
    "load_model",
]
