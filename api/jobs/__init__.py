"""What all surfaces do with jobs."""
