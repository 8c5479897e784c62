"""The worker process: `celery --app tasks.app worker`. What Celery calls when, and nothing else."""

import logging
import os
from dataclasses import dataclass
from typing import Any

from celery.concurrency.thread import TaskPool
from celery.signals import worker_init, worker_ready, worker_shutdown, worker_shutting_down

from store.settings import MetricsSettings, WorkerSettings
from tasks.heartbeat import Heartbeat
from tasks.metrics_server import serve
from tasks.presence import Presence
from tasks.queue import WORK, app
from tasks.run import work
from tasks.worker import Worker, make_worker

# They say when a message came and that its task "succeeded", whatever became of the job; our own lines tell of that.
CHATTER = ("celery.worker.strategy", "celery.app.trace")
ENGINES_SECONDS = 5.0  # how long the end of a worker waits for a round that is running

app.add_defaults(lambda: {"worker_pool": "threads", "worker_concurrency": WorkerSettings().concurrency})


@dataclass(frozen=True)
class _Process:
    """This process, once it is a worker."""

    worker: Worker
    heartbeat: Heartbeat
    presence: Presence


_process: list[_Process] = []


@app.task(name=WORK)
def look_for_work() -> None:
    """Work."""
    work(_process[0].worker)


@worker_init.connect
def _start(sender: Any, **_: Any) -> None:
    for name in CHATTER:
        logging.getLogger(name).setLevel(logging.WARNING)
    if sender.pool_cls not in ("threads", TaskPool):
        raise SystemExit("the jobs of a worker share its engines: run it with `--pool threads`")
    try:
        # Two processes may have one node name, and a restarted one has that of its predecessor.
        worker = make_worker(f"{sender.hostname}/{os.getpid()}", sender.concurrency)
    except ValueError as error:
        raise SystemExit(f"the worker cannot start: {error}") from error
    settings = MetricsSettings()
    serve(worker.metrics.registry, settings.metrics_host, settings.worker_metrics_port)
    heartbeat = Heartbeat(worker.name, worker.leases, worker.sessions, worker.jobs)
    _process.append(_Process(worker, heartbeat, Presence(worker, heartbeat.wake)))
    heartbeat.start()


@worker_ready.connect
def _be_there(**_: Any) -> None:
    _process[0].presence.start()


@worker_shutting_down.connect
def _hand_back(**_: Any) -> None:
    # Called by the signal handler: only tells the threads, which Celery then waits for.
    worker = _process[0].worker
    worker.leases.close(worker.settings.soft_shutdown_seconds)


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    process = _process[0]
    process.presence.end()
    process.heartbeat.end()
    process.worker.engines.close(ENGINES_SECONDS)
