"""The worker process, `celery --app tasks.app worker`: Celery's signals and the task, and nothing else."""

import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any

import celery.apps.worker
from celery.concurrency.thread import TaskPool
from celery.exceptions import SecurityWarning
from celery.signals import celeryd_init, worker_init, worker_ready, worker_shutdown, worker_shutting_down

from store import tracing
from store.settings import MetricsSettings, WorkerSettings
from tasks.heartbeat import Heartbeat
from tasks.metrics_server import serve
from tasks.presence import Presence
from tasks.queue import WORK, app
from tasks.run import work
from tasks.worker import Worker, make_worker

# They log each message and that its task "succeeded", whatever happened to the job. Our own lines report that.
NOISY = ("celery.worker.strategy", "celery.app.trace")
ENGINES_SECONDS = 5.0  # how long a worker that ends waits for the round in progress


def _configuration() -> dict[str, Any]:
    settings = WorkerSettings()
    return {
        "worker_pool": "threads",
        "worker_concurrency": settings.concurrency,
        "worker_enable_remote_control": settings.remote_control,
    }


app.add_defaults(_configuration)

# Before they are imported, with the first model: their warnings quote prompts, and their progress bars are no lines of
# a log. The processes of several devices inherit this.
os.environ |= {
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
}


@dataclass(frozen=True)
class _Process:
    """The parts of a worker process."""

    worker: Worker
    heartbeat: Heartbeat
    presence: Presence


_process: list[_Process] = []


@app.task(name=WORK)
def look_for_work() -> None:
    """Work."""
    work(_process[0].worker)


@celeryd_init.connect
def _quiet(**_: Any) -> None:
    # It warns of root because messages may be pickled. Ours are JSON, and a container runs as whom it is told to.
    warnings.simplefilter("ignore", SecurityWarning)


@worker_init.connect
def _start(sender: Any, **_: Any) -> None:
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    if sender.pool_cls not in ("threads", TaskPool):
        raise SystemExit("the jobs of a worker share its engines: run it with `--pool threads`")
    try:
        # Two processes may have the same node name, and a restarted one has that of its predecessor.
        worker = make_worker(f"{sender.hostname}/{os.getpid()}", sender.concurrency)
    except ValueError as error:
        raise SystemExit(f"the worker cannot start: {error}") from error
    # What it says in the handler of a signal is no line of a log, in JSON or not.
    celery.apps.worker.safe_say = lambda *_: None
    tracing.start("worker")
    settings = MetricsSettings()
    serve(worker.metrics.registry, settings.metrics_host, settings.worker_metrics_port)
    heartbeat = Heartbeat(worker.name, worker.leases, worker.sessions, worker.jobs)
    _process.append(_Process(worker, heartbeat, Presence(worker, heartbeat.wake)))
    heartbeat.start()


@worker_ready.connect
def _be_there(**_: Any) -> None:
    _process[0].presence.start()
    worker = _process[0].worker
    worker.engines.preload(worker.catalog)


@worker_shutting_down.connect
def _hand_back(**_: Any) -> None:
    # Runs in the signal handler: it only notifies the threads, for which Celery then waits.
    worker = _process[0].worker
    worker.leases.close(worker.settings.soft_shutdown_seconds)


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    process = _process[0]
    process.presence.end()
    process.heartbeat.end()
    process.worker.close(ENGINES_SECONDS)
    tracing.stop()
