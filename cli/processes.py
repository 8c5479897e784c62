"""`underpaint worker`, `beat` and `migrate`: the parts of a server beside the API."""

import os
import sys
from typing import NoReturn

from cli.errors import CommandError
from underpaint_command import MODULE


def worker(concurrency: int, name: str | None, log_level: str) -> NoReturn:
    """Replaces this process by a worker that runs up to ``concurrency`` jobs at once.

    The jobs run in threads: a CUDA context does not survive a fork, and only threads can share one engine per model.
    """
    node = name or f"worker-{os.getpid()}"  # two workers on one host need two names
    options = ["--pool", "threads", "--concurrency", str(concurrency), "--hostname", f"{node}@%h"]
    # Workers have nothing to tell each other: they read the state of jobs from the database.
    _celery("tasks.app", "worker", *options, "--without-gossip", "--without-mingle", "--loglevel", log_level)


def beat(log_level: str) -> NoReturn:
    """Replaces this process by the scheduler of the janitor. Without a pid file, which would only block a restart."""
    _celery("tasks.queue", "beat", "--pidfile=", "--loglevel", log_level)


def migrate(url: str) -> None:
    """Brings the tables of the database at ``url`` up to date.

    Raises:
        CommandError: the database cannot be reached, or refused.
    """
    from sqlalchemy.exc import DBAPIError  # here, since a worker and beat do not need to wait for it

    from migrations import upgrade

    try:
        upgrade(url)
    except DBAPIError as error:
        raise CommandError(f"The database could not be brought up to date: {str(error.orig).strip()}") from error


def _celery(app: str, *arguments: str) -> NoReturn:
    # --quiet hides the banner; the log is not affected.
    os.execv(sys.executable, [*MODULE, "celery", "--quiet", "--app", app, *arguments])
