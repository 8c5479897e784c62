"""The workers: Celery takes jobs, the sampler runs them, every iterate is saved. Only `tasks.queue` is for others."""
