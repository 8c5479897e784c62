"""The way of a job to the workers: admission, the outbox, its position in the queue and the estimated wait."""
