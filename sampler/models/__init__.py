"""Model families: the only place that imports diffusers, once a model is loaded."""

from sampler.models.loading import FAMILIES, load_model

__all__ = ["FAMILIES", "load_model"]
