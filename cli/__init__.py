"""The `underpaint` command."""
