"""The models on offer, for clients of every surface."""
