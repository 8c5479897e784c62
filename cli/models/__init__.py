"""The sub-commands of `underpaint models`."""
