"""Model families: the only place that imports diffusers."""

from sampler.models.loading import load_model
from sampler.models.stable_diffusion import StableDiffusion

__all__ = ["StableDiffusion", "load_model"]
