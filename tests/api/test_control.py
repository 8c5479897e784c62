"""Canceling and deleting."""

import json
from collections.abc import Callable
from uuid import UUID

import httpx
import redis
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from store import wakeups
from store.pictures import redis_cache
from store.tables import Base
from tests.api.problem import problem
from tests.api.worker import Worker, png

Submit = Callable[..., str]


def test_a_queued_job_is_canceled_at_once(client: httpx.Client, submit: Submit) -> None:
    job = submit()
    for _ in range(2):
        response = client.post(f"/v1/jobs/{job}/cancel")
        assert response.status_code == 200
        assert response.json()["state"] == "canceled"
        assert response.json()["finished_at"]


def test_a_running_job_is_asked_to_stop(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit()
    worker.claim(job)
    for _ in range(2):
        response = client.post(f"/v1/jobs/{job}/cancel")
        assert response.status_code == 202
        assert (response.json()["state"], response.json()["cancel_requested"]) == ("running", True)
    worker.cancel(job)
    assert client.post(f"/v1/jobs/{job}/cancel").json()["state"] == "canceled"


def test_a_job_that_has_ended_stays_as_it_is(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit()
    worker.run(job)
    before = client.get(f"/v1/jobs/{job}")
    response = client.post(f"/v1/jobs/{job}/cancel")
    assert response.status_code == 200
    assert response.json() == before.json()
    assert client.get(f"/v1/jobs/{job}").headers["etag"] == before.headers["etag"]


def test_workers_and_watchers_are_told(
    client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis
) -> None:
    job = submit()
    worker.claim(job)
    with valkey.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(wakeups.JOBS, wakeups.CONTROL)
        heard.get_message(timeout=1)
        heard.get_message(timeout=1)
        client.post(f"/v1/jobs/{job}/cancel")
        messages = [heard.get_message(timeout=2) for _ in range(2)]
    published = {message["channel"].decode(): message["data"].decode() for message in messages if message}
    assert published[wakeups.CONTROL] == job
    assert json.loads(published[wakeups.JOBS]) == {"job": job, "seq": 3}


def test_deleting_leaves_nothing(
    client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis, database: Engine
) -> None:
    job = submit()
    worker.run(job)
    redis_cache.put(valkey, UUID(job), 0, 2, png(2), 600)
    hot = valkey.keys("underpaint:preview:*")
    response = client.delete(f"/v1/jobs/{job}")
    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers
    assert hot
    assert valkey.keys("underpaint:preview:*") == []
    with Session(database) as session:
        for table in Base.metadata.sorted_tables:
            assert session.scalar(select(func.count()).select_from(table)) == 0
    problem(client.delete(f"/v1/jobs/{job}"), 404, "no-such-job")
    problem(client.get(f"/v1/jobs/{job}/images/0/iterates/2"), 404, "no-such-job")
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_deleting_wakes_those_who_wait_for_the_job(
    client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis
) -> None:
    job = submit()
    worker.run(job)
    seq = int(client.get(f"/v1/jobs/{job}").headers["etag"].strip('W/"'))
    with valkey.pubsub() as heard:
        heard.subscribe(wakeups.JOBS)
        heard.get_message(timeout=20)  # that it is subscribed
        client.delete(f"/v1/jobs/{job}")
        message = heard.get_message(timeout=20)
    assert message
    assert json.loads(message["data"]) == {"job": job, "seq": seq + 1}


def test_only_what_has_ended_is_deleted(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit()
    body = problem(client.delete(f"/v1/jobs/{job}"), 409, "not-finished")
    assert "queued" in body["detail"]
    assert "cancel it first" in body["detail"]
    worker.claim(job)
    assert "running" in problem(client.delete(f"/v1/jobs/{job}"), 409, "not-finished")["detail"]
    assert client.get(f"/v1/jobs/{job}").status_code == 200
