"""What every surface does with jobs: submit, look up, wait for the end, cancel, accept."""
