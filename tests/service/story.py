"""A job that runs while a test causes faults, with a client that follows it, and the checks at the end."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from uuid import UUID

import numpy as np
from PIL import Image

from tests.api.sse import ServerEvent
from tests.service.parts import Api
from tests.tasks.jobs import Jobs, Pixels
from tests.until import PATIENCE, until

# Seconds of work on one slow core, an iterate every few rounds: 0, 1, 2, 3.
JOB: dict[str, Any] = {"steps": 48, "blocks": 6, "tolerance": 0.0, "max_iterations": 3}

Undisturbed = list[Pixels]
"""The pictures of all iterates of a job in a run without faults."""


def pictures(api: Api, job: str) -> list[Pixels]:
    """The pictures of all iterates of a job's first image."""
    found: list[Pixels] = []
    with api.client() as client:
        for iterate in range(api.get(job)["images"][0]["iterate"] + 1):
            response = client.get(f"/v1/jobs/{job}/images/0/iterates/{iterate}", headers={"Accept": "image/png"})
            assert response.status_code == 200, response.text
            found.append(np.asarray(Image.open(BytesIO(response.content))).astype(np.int16))
    return found


class Story:
    """A job, and a client that follows it from the start and reconnects after every interruption."""

    def __init__(self, api: Api, pool: ThreadPoolExecutor, job: str) -> None:
        self.job = job
        self._api = api
        self._heard: list[ServerEvent] = []
        self._following = pool.submit(self._follow)

    def _follow(self) -> None:
        for event in self._api.follow(self.job):
            self._heard.append(event)

    def events(self) -> list[ServerEvent]:
        """Wait until the job has ended. Returns the events that the client received."""
        self._following.result(PATIENCE)
        return self._heard

    def wait_for_iterate(self, number: int) -> None:
        """Wait until the client has received an iterate."""
        until(lambda: any(event.kind == "iterate" and event.data["iterate"] >= number for event in list(self._heard)))

    def worker(self, jobs: Jobs) -> str:
        """The name of the worker that runs the job."""
        name = jobs.wait(UUID(self.job), lambda job: job.state == "running").worker
        assert name is not None
        return name

    def check(self, jobs: Jobs, undisturbed: Undisturbed, attempts: int, crashes: int) -> None:
        """The job succeeded once, with the pictures of a run without faults, and the client got each event once."""
        heard = self.events()
        job = jobs.get(UUID(self.job))
        assert (job.state, job.stopped) == ("succeeded", "max_iterations"), job.error
        assert (job.attempt, job.crashes) == (attempts, crashes)
        stored = [(event.seq, event.kind) for event in jobs.events(UUID(self.job))]
        assert [(event.id, event.kind) for event in heard] == stored
        assert [seq for seq, _ in stored] == list(range(1, job.seq + 1))
        assert [kind for _, kind in stored].count("done") == 1
        iterates = [event.data for event in heard if event.kind == "iterate"]
        assert [data["iterate"] for data in iterates] == list(range(len(undisturbed)))
        assert [data["final"] for data in iterates] == [False] * (len(undisturbed) - 1) + [True]
        for picture, expected in zip(pictures(self._api, self.job), undisturbed, strict=True):
            assert np.abs(picture - expected).max() <= 2
