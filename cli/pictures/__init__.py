"""`underpaint pictures`: where pictures and checkpoints are kept."""
