"""Diffusers' pipelines as models: the only place that imports diffusers, once a model is loaded."""

from sampler.models.loading import load_model
from sampler.models.source import Source

__all__ = ["Source", "load_model"]
