"""What the operator of the server reads: health, readiness and metrics."""
