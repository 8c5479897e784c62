"""Accepting what a job has made."""

import json
from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from store import moves, wakeups
from tests.api.problem import problem
from tests.api.worker import Worker, png

Submit = Callable[..., str]


def test_a_running_job_is_asked_to_end(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit()
    worker.claim(job)
    worker.save(job, 0, png(0))
    for _ in range(2):
        response = client.post(client.get(f"/v1/jobs/{job}").json()["links"]["accept"])
        assert response.status_code == 202
        assert (response.json()["state"], response.json()["accept_requested"]) == ("running", True)
    worker.finish(job, "accepted")
    response = client.post(f"/v1/jobs/{job}/accept")
    assert (response.status_code, response.json()["stopped"]) == (200, "accepted")


@pytest.mark.parametrize("end", ["run", "fail", "cancel"])
def test_a_job_that_has_ended_stays_as_it_is(client: httpx.Client, submit: Submit, worker: Worker, end: str) -> None:
    job = submit()
    if end == "run":
        worker.run(job)
    else:
        worker.claim(job)
        {"fail": lambda: worker.fail(job, "broken"), "cancel": lambda: worker.cancel(job)}[end]()
    before = client.get(f"/v1/jobs/{job}")
    response = client.post(f"/v1/jobs/{job}/accept")
    assert (response.status_code, response.json()) == (200, before.json())
    assert client.get(f"/v1/jobs/{job}").headers["etag"] == before.headers["etag"]


def test_there_must_be_something_to_accept(
    client: httpx.Client, submit: Submit, worker: Worker, database: Engine
) -> None:
    job = submit()
    assert "no picture yet" in problem(client.post(f"/v1/jobs/{job}/accept"), 409, "nothing-to-accept")["detail"]
    worker.claim(job)
    client.post(f"/v1/jobs/{job}/cancel")
    assert "asked to stop" in problem(client.post(f"/v1/jobs/{job}/accept"), 409, "nothing-to-accept")["detail"]
    problem(client.post(f"/v1/jobs/{uuid4()}/accept"), 404, "no-such-job")

    # One that waits after a first run is taken up again, and ended then.
    again = submit()
    worker.claim(again)
    with Session(database) as session:
        session.execute(moves.release(UUID(again), 1))
        session.commit()
    response = client.post(f"/v1/jobs/{again}/accept")
    assert (response.status_code, response.json()["state"]) == (202, "queued")


def test_workers_and_watchers_are_told(
    client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis
) -> None:
    job = submit()
    worker.claim(job)
    with valkey.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(wakeups.JOBS, wakeups.CONTROL)
        heard.get_message(timeout=1)
        heard.get_message(timeout=1)
        client.post(f"/v1/jobs/{job}/accept")
        messages = [heard.get_message(timeout=2) for _ in range(2)]
    published = {message["channel"].decode(): message["data"].decode() for message in messages if message}
    assert published[wakeups.CONTROL] == job
    assert json.loads(published[wakeups.JOBS]) == {"job": job, "seq": 3}
