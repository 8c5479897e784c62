"""The errors of the sampler. Their messages tell what to change."""


class UnsupportedModel(ValueError):
    """A model that cannot be loaded or sampled; the message gives the reason and what works."""


class InvalidCheckpoint(ValueError):
    """Not a checkpoint, or a checkpoint of another version, method or grid."""


class ReplicasFailed(RuntimeError):
    """Every process that held the model failed, and so did its replacements."""
