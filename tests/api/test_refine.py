"""Going on with a finished job."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from contract.words import SampledBy, Stopped
from store import retention, wakeups
from tasks.queue import QUEUE
from tests.api.conftest import wait_until_sent
from tests.api.problem import faults, problem
from tests.api.worker import Worker, png

Submit = Callable[..., str]


@pytest.fixture
def finished(submit: Submit, worker: Worker) -> Callable[..., str]:
    """A job whose one image has iterates 0 and 1, the last with an estimated error of 0.02. `method` is that of the
    request, and `chosen` what `auto` chose."""

    def make(stopped: Stopped = "max_iterations", chosen: SampledBy = "srds", **fields: Any) -> str:
        request = {"method": "srds", "max_iterations": 1, **fields}
        job = submit(**request)
        worker.claim(job)
        worker.start(job, method=chosen if request["method"] == "auto" else request["method"])
        worker.save(job, 0, png(0))
        worker.save(job, 1, png(1), final=True)
        worker.finish(job, stopped)
        return job

    return make


def test_a_draft_goes_on(
    client: httpx.Client, finished: Callable[..., str], valkey: redis.Redis, database: Engine
) -> None:
    job = finished()
    before = client.get(f"/v1/jobs/{job}").json()
    assert before["images"][0]["links"]["final"]
    valkey.delete(QUEUE)
    with valkey.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(wakeups.JOBS)
        heard.get_message(timeout=1)
        response = client.post(before["links"]["refine"])
        message = heard.get_message(timeout=2)
    assert response.status_code == 202
    assert response.headers["location"] == before["links"]["self"]
    after = response.json()
    assert (after["state"], after["stopped"], after["finished_at"], after["queue_position"]) == (
        "queued",
        None,
        None,
        1,
    )
    assert after["request"] == {**before["request"], "max_iterations": None}
    assert (after["images"][0]["iterate"], after["images"][0]["links"]["final"]) == (1, None)
    assert message is not None
    assert wakeups.decode(message["data"]).job == UUID(job)
    wait_until_sent(database, job)
    assert valkey.llen(QUEUE) == 1
    # Its pictures are there meanwhile.
    latest = client.get(f"/v1/jobs/{job}/images/0/iterates/latest")
    assert (latest.content, latest.headers["underpaint-final"]) == (png(1), "false")
    problem(client.post(before["links"]["refine"]), 409, "not-finished")


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ({}, {"max_iterations": None}),
        ({"tolerance": None, "max_iterations": 2.0}, {"max_iterations": 2}),
        ({"tolerance": 0}, {"tolerance": 0.0, "max_iterations": None}),
        ({"tolerance": 0.01, "max_iterations": 4}, {"tolerance": 0.01, "max_iterations": 4}),
    ],
)
def test_how_far_it_goes_on(
    client: httpx.Client, finished: Callable[..., str], body: dict[str, Any], changes: dict[str, Any]
) -> None:
    job = finished()
    request = client.get(f"/v1/jobs/{job}").json()["request"]
    response = client.post(f"/v1/jobs/{job}/refine", json=body)
    assert response.status_code == 202, response.text
    assert response.json()["request"] == {**request, **changes}


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"max_iterations": 1}, "max_iterations", "must be more than 1"),
        ({"tolerance": 0.1}, "tolerance", "must be less than 0.02"),
        ({"tolerance": 0.5, "max_iterations": 9}, "tolerance", "must be less than 0.02"),
        ({"tolerance": -1}, "tolerance", "greater than or equal to 0"),
        ({"tolerance": 2}, "tolerance", "less than or equal to 1"),
        ({"tolerance": "0.1"}, "tolerance", "must be"),
        ({"max_iterations": 0}, "max_iterations", "greater than or equal to 1"),
        ({"max_iterations": 1.5}, "max_iterations", "must be a valid integer"),
        ({"max_iterations": True}, "max_iterations", "must be a valid integer"),
        ({"steps": 5}, "steps", "leave it out"),
        ([], "body", "must be"),
    ],
)
def test_there_must_be_something_to_compute(
    client: httpx.Client, finished: Callable[..., str], body: Any, field: str, message: str
) -> None:
    job = finished()
    found = faults(client.post(f"/v1/jobs/{job}/refine", json=body))
    assert list(found) == [field]
    assert message in found[field]
    assert client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded"


def test_what_cannot_be_refined(
    client: httpx.Client, submit: Submit, finished: Callable[..., str], worker: Worker, database: Engine
) -> None:
    def refuse(job: str) -> str:
        return problem(client.post(f"/v1/jobs/{job}/refine", json={"tolerance": 0}), 409, "not-refinable")["detail"]

    assert "nothing left" in refuse(finished("exact"))
    assert "serial" in refuse(finished("converged", method="serial", max_iterations=None))
    assert "serial" in refuse(finished("converged", chosen="serial", method="auto", max_iterations=None))
    for end in (lambda job: worker.fail(job, "broken"), worker.cancel):
        job = submit()
        worker.claim(job)
        end(job)
        assert "submit it again" in refuse(job)
    late = finished()
    with Session(database) as session:
        session.execute(retention.prune_checkpoints(0))
        session.commit()
    assert "no longer kept" in refuse(late)
    for job in (submit(), submit()):
        assert "queued" in problem(client.post(f"/v1/jobs/{job}/refine"), 409, "not-finished")["detail"]
    problem(client.post(f"/v1/jobs/{uuid4()}/refine"), 404, "no-such-job")
    wrong = client.post(f"/v1/jobs/{late}/refine", content=b"{}", headers={"Content-Type": "text/plain"})
    problem(wrong, 415, "not-json")


def test_the_method_stays_what_it_was(client: httpx.Client, finished: Callable[..., str]) -> None:
    draft = finished(method="auto")
    assert client.post(f"/v1/jobs/{draft}/refine").json()["request"]["method"] == "srds"
    accepted = finished("accepted", method="collocation", max_iterations=None)
    body = {"max_iterations": 3}
    assert list(faults(client.post(f"/v1/jobs/{accepted}/refine", json=body))) == ["max_iterations"]
    assert client.post(f"/v1/jobs/{accepted}/refine").json()["request"]["method"] == "collocation"
    serial = finished("accepted", method="serial", max_iterations=None)
    assert list(faults(client.post(f"/v1/jobs/{serial}/refine", json={"tolerance": 0.01}))) == ["tolerance"]


def test_a_follower_sees_a_refined_job_end_again(
    client: httpx.Client, finished: Callable[..., str], valkey: redis.Redis
) -> None:
    job = finished()
    last = client.get(f"/v1/jobs/{job}").headers["etag"].strip('W/"')
    done = {"Last-Event-ID": last}
    assert client.get(f"/v1/jobs/{job}/events", headers=done).status_code == 204
    client.post(f"/v1/jobs/{job}/refine")
    client.post(f"/v1/jobs/{job}/cancel")
    again = client.get(f"/v1/jobs/{job}/events", headers=done).text
    assert again.count("event: state") == 1
    assert again.count("event: done") == 1
    assert client.get(f"/v1/jobs/{job}/events").text.count("event: done") == 2
