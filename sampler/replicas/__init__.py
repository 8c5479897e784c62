"""One model on several devices: one process for each device, and rounds that are split over the processes."""

from sampler.replicas.pool import Replicas

__all__ = ["Replicas"]
