"""The commands about jobs that there are: list, show, cancel, accept, delete."""
