"""A request that is sent again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.problem import faults, problem
from tests.api.worker import Worker

HEART = {"prompt": "red heart"}


def send(client: httpx.Client, key: str, request: dict[str, Any] = HEART) -> httpx.Response:
    return client.post("/v1/jobs", json=request, headers={"Idempotency-Key": key})


def jobs(client: httpx.Client) -> list[str]:
    return [job["id"] for job in client.get("/v1/jobs?limit=100").json()["jobs"]]


def test_the_same_request_has_the_same_answer(client: httpx.Client) -> None:
    first = send(client, "one")
    again = send(client, "one", {"seed": None, **HEART})  # null is the same as left out
    assert first.status_code == again.status_code == 202
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    assert jobs(client) == [first.json()["id"]]


def test_the_answer_is_the_job_as_it_stands(client: httpx.Client, worker: Worker) -> None:
    job = send(client, "one").json()["id"]
    worker.run(job)
    again = send(client, "one")
    assert again.status_code == 202
    assert (again.json()["id"], again.json()["state"]) == (job, "succeeded")


def test_another_key_or_none_makes_another_job(client: httpx.Client) -> None:
    made = [send(client, "one"), send(client, "two"), client.post("/v1/jobs", json=HEART)]
    made.append(client.post("/v1/jobs", json=HEART))
    assert len({response.json()["id"] for response in made}) == 4


def test_two_api_keys_never_share_a_job(holder: Callable[..., httpx.Client]) -> None:
    ann, bob = holder("ann"), holder("bob")
    first = send(ann, "one")
    # The same request, then another one: neither the job of ann nor her request may show.
    answers = [send(bob, "one"), send(holder("eve"), "one", {"prompt": "cat face"})]
    for answer in answers:
        assert answer.status_code == 202
        assert "idempotency-replayed" not in answer.headers
    assert len({answer.json()["id"] for answer in (first, *answers)}) == 3
    for client, made in ((ann, first), (bob, answers[0])):
        again = send(client, "one")
        assert (again.json()["id"], again.headers["idempotency-replayed"]) == (made.json()["id"], "true")


@pytest.mark.parametrize("request_", [{"prompt": "cat face"}, {**HEART, "steps": 25}])
def test_another_request_under_the_same_key_is_refused(client: httpx.Client, request_: dict[str, Any]) -> None:
    job = send(client, "one").json()["id"]
    problem(send(client, "one", request_), 422, "idempotency-key-reused")
    assert jobs(client) == [job]


def test_a_request_that_was_refused_leaves_its_key_free(client: httpx.Client) -> None:
    faults(send(client, "one", {"prompt": ""}))
    assert send(client, "one").status_code == 202


def test_a_deleted_job_leaves_its_key_free(client: httpx.Client, worker: Worker) -> None:
    job = send(client, "one").json()["id"]
    worker.run(job)
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    again = send(client, "one", {"prompt": "cat face"})
    assert again.status_code == 202
    assert again.json()["id"] != job


@pytest.mark.parametrize("key", ["", "x" * 256, "with a space", "tab\there"])
def test_keys_are_short_and_plain(client: httpx.Client, key: str) -> None:
    assert list(faults(send(client, key))) == ["Idempotency-Key"]


def test_a_key_may_be_as_long_as_said(client: httpx.Client) -> None:
    assert send(client, "x" * 255).status_code == 202


def test_of_many_at_once_one_makes_a_job(client: httpx.Client) -> None:
    key = str(uuid4())
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: send(client, key), range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert {answer.json()["id"] for answer in answers} == set(jobs(client))
    assert len(jobs(client)) == 1


def test_of_different_requests_at_once_one_wins(client: httpx.Client) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda n: send(client, "one", {**HEART, "seed": n}), range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] + [422] * 9
    assert len(jobs(client)) == 1
