"""The window: Parareal over a sliding window of single steps, with a coarse propagator that costs no evaluation."""
