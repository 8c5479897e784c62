"""One model on several devices: a process a device, and a round split over them."""

from sampler.replicas.pool import Replicas

__all__ = ["Replicas"]
