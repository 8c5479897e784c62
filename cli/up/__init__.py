"""`underpaint up`: one process that starts, watches and stops all parts of the system."""
