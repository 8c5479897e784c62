"""A worker in the test process, without Celery, and a reference for its results."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import numpy as np

from sampler import Iterate, Model, sample
from tasks.engines import EngineThread
from tasks.heartbeat import Heartbeat
from tasks.run import work
from tasks.worker import Worker
from tests.tasks.jobs import Jobs, Pixels


class Reference:
    """The shipped model, sampled directly, and the counters of the engine that runs the jobs."""

    def __init__(self, model: Model, engine: EngineThread) -> None:
        self._model = model
        self._engine = engine
        self._sampled: dict[tuple[Any, ...], list[tuple[Iterate, Pixels]]] = {}

    def sample(self, seed: int = 7, **options: Any) -> list[tuple[Iterate, Pixels]]:
        """The iterates of a red heart, with their pictures."""
        key = (seed, *sorted(options.items()))
        if key not in self._sampled:
            options = {"guidance_scale": 3.0, **options}
            iterates = sample(self._model, "red heart", seed=seed, height=64, width=64, **options)
            self._sampled[key] = [(each, self._picture(each)) for each in iterates]
        return self._sampled[key]

    def _picture(self, iterate: Iterate) -> Pixels:
        return self._model.decode(iterate.sample[None])[0].numpy().astype(np.int16)

    @property
    def rounds(self) -> int:
        return self._engine.statistics.get("rounds", 0)

    @property
    def evaluations(self) -> int:
        return self._engine.statistics.get("evaluations", 0)


class Process:
    """A worker with its threads and its heartbeat."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.heartbeat = Heartbeat(worker.name, worker.leases, worker.sessions, worker.jobs)
        self._threads = ThreadPoolExecutor(worker.concurrency)

    def run(self) -> None:
        """Run queued jobs in this thread until the queue is empty."""
        work(self.worker)

    def start(self) -> Future[None]:
        """Run queued jobs in another thread until the queue is empty."""
        return self._threads.submit(work, self.worker)

    def close(self) -> None:
        """Hand back the running jobs, and end the threads."""
        self.worker.leases.close(20)
        self._threads.shutdown()
        self.worker.pictures.close()


Start = Callable[..., Process]


def interrupted(jobs: Jobs, process: Start, **fields: Any) -> UUID:
    """A queued job whose first run was ended after its first iterate."""
    job_id = jobs.submit(**fields)
    worker = process("interrupted")
    running = worker.start()
    jobs.wait_for_iterate(job_id, 0)
    worker.close()
    running.result(60)
    assert jobs.get(job_id).state == "queued"
    return job_id
