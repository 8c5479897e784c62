"""Pictures: finding them, and those of a job that has ended."""
