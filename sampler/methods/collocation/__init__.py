"""Adaptive collocation: the network is evaluated at a few nodes of the grid, and interpolated at the other points."""
