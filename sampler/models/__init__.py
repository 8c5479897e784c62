"""Diffusers' pipelines as models: the only place that imports diffusers, once a model is loaded."""

from sampler.models.loading import load_model

__all__ = ["load_model"]
