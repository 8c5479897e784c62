"""What can go wrong in the sampler, said so that the reader knows what to change."""


class UnsupportedModel(ValueError):
    """A model that cannot be loaded or sampled; the message says why and what would do."""


class InvalidCheckpoint(ValueError):
    """Bytes that are no checkpoint, or one of another version, method or grid."""


class ReplicasFailed(RuntimeError):
    """No process that holds the model could do what was asked, however often it was replaced."""
