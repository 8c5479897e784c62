"""A package: what its fixtures start for all of its tests ends with the last of them."""
