"""`underpaint worker` and `underpaint beat`: this process becomes Celery."""

import os
import sys
from typing import NoReturn


def worker(concurrency: int, name: str | None, log_level: str) -> NoReturn:
    """Becomes a worker that runs up to ``concurrency`` jobs at once, in threads that feed one engine a model.

    A CUDA context does not survive a fork, and only threads can share an engine: hence the pool.
    """
    node = name or f"worker-{os.getpid()}"  # two workers on one host need two names
    options = ["--pool", "threads", "--concurrency", str(concurrency), "--hostname", f"{node}@%h"]
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its advice is for those who write code with it
    # Workers have nothing to tell each other: what they need to know is in the database.
    _celery("tasks.app", "worker", *options, "--without-gossip", "--without-mingle", "--loglevel", log_level)


def beat(log_level: str) -> NoReturn:
    """Becomes the clock that sends the janitor round. Celery's lock file would only get in the way of a restart."""
    _celery("tasks.queue", "beat", "--pidfile=", "--loglevel", log_level)


def _celery(app: str, *arguments: str) -> NoReturn:
    # Quiet is about its banner; what happens is logged all the same.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "celery", "--quiet", "--app", app, *arguments])
