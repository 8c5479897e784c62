"""What a client sees of the queue: priorities, the estimate of the wait, its end, deadlines, and what is left."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
from sqlalchemy import Engine, func, update
from sqlalchemy.orm import Session

from store import moves, workers
from store.pictures import redis_cache
from store.tables import Job
from tests.api.problem import problem
from tests.api.serving import serving
from tests.api.worker import Worker, png

Submit = Callable[..., str]


@pytest.fixture(scope="module")
def small(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that lets two jobs wait."""
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path_factory.mktemp("small") / "log", **settings, UNDERPAINT_MAX_QUEUED="2") as address:
        yield address


def test_priority_decides_and_is_shown(client: httpx.Client, submit: Submit) -> None:
    normal, high, low = submit(), submit(priority="high"), submit(priority="low")
    jobs = [client.get(f"/v1/jobs/{job}").json() for job in (high, normal, low)]
    assert [job["queue_position"] for job in jobs] == [1, 2, 3]
    assert [job["priority"] for job in jobs] == ["high", "normal", "low"]


@pytest.mark.parametrize(
    ("field", "value"), [("priority", "urgent"), ("deadline_seconds", 0), ("deadline_seconds", 1e9)]
)
def test_what_is_no_priority_or_deadline(client: httpx.Client, field: str, value: Any) -> None:
    body = problem(client.post("/v1/jobs", json={"prompt": "red heart", field: value}), 422, "invalid-request")
    assert [error["field"] for error in body["errors"]] == [field]


def fresh(client: httpx.Client, job: str) -> Any:
    """The job with an estimate that was made after what the test has done."""
    time.sleep(2.1)  # for so long one estimate serves all requests
    return client.get(f"/v1/jobs/{job}").json()["estimated_wait_seconds"]


def test_the_estimate_is_made_of_what_was_measured(
    client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis, database: Engine
) -> None:
    done = [submit() for _ in range(4)]
    for job in done:
        worker.run(job)
    first, second, third = (submit() for _ in range(3))
    assert fresh(client, third) is None  # nobody is there who would run them
    # Two ran at once for 20 s and two after them for 10 s: from one end to the next it took 7.5 s.
    with Session(database) as session, session.begin():
        for job, began, ended in zip(done, (60, 60, 40, 40), (40, 40, 30, 30), strict=True):
            times = {"claimed_at": func.now() - func.make_interval(0, 0, 0, 0, 0, 0, began)}
            times["finished_at"] = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, ended)
            session.execute(update(Job).where(Job.id == UUID(job)).values(times))
    workers.announce(valkey, "one", {"concurrency": 1}, 300)
    assert fresh(client, third) == pytest.approx(2 * 7.5)  # one is claimed at once
    assert client.get(f"/v1/jobs/{first}").json()["estimated_wait_seconds"] == 0
    worker.claim(first)
    assert fresh(client, second) == pytest.approx(7.5)
    assert client.get(f"/v1/jobs/{first}").json()["estimated_wait_seconds"] is None  # it runs


def test_a_full_queue_refuses_and_says_when_to_come_back(small: str, client: httpx.Client, worker: Worker) -> None:
    with httpx.Client(base_url=small, trust_env=False, timeout=20) as full:
        body = {"prompt": "red heart", "max_iterations": 0}
        finished = full.post("/v1/jobs", json=body).json()["id"]
        worker.run(finished)
        waiting = [full.post("/v1/jobs", json=body).json()["id"] for _ in range(2)]
        for response in (full.post("/v1/jobs", json=body), full.post(f"/v1/jobs/{finished}/refine")):
            assert "2 jobs are waiting" in problem(response, 429, "queue-full")["detail"]
            assert int(response.headers["Retry-After"]) >= 1
        response = full.post("/v1/images/generations", json={"prompt": "red heart"})
        assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert "2 jobs are waiting" in response.json()["error"]["message"]
        assert int(response.headers["Retry-After"]) >= 1
        assert len(full.get("/v1/jobs").json()["jobs"]) == 3  # nothing was accepted
        assert full.get(f"/v1/jobs/{finished}").json()["state"] == "succeeded"
        worker.claim(waiting[0])
        assert full.post("/v1/jobs", json=body).status_code == 202


def test_a_late_job_fails_and_its_pictures_stay(
    client: httpx.Client, submit: Submit, worker: Worker, database: Engine
) -> None:
    job = submit(deadline_seconds=60)
    assert client.get(f"/v1/jobs/{job}").json()["deadline_at"]
    worker.claim(job)
    worker.save(job, 0, png(1))
    with Session(database) as session, session.begin():
        session.execute(update(Job).where(Job.id == UUID(job)).values(deadline_at=func.now()))
    with Session(database) as session, session.begin():
        session.execute(moves.expire())
    answer = client.get(f"/v1/jobs/{job}").json()
    assert (answer["state"], answer["failure"]) == ("failed", "deadline")
    assert "deadline" in answer["error"]
    assert client.get(f"/v1/jobs/{job}/images/0/iterates/latest").content == png(1)


def everything(valkey: redis.Redis) -> bytes:
    """All keys of Redis, with all that is in them."""
    read: dict[Any, Callable[[bytes], Any]] = {
        b"string": valkey.get,
        b"hash": valkey.hgetall,
        b"list": lambda key: valkey.lrange(key, 0, -1),
        b"set": valkey.smembers,
        b"zset": lambda key: valkey.zrange(key, 0, -1, withscores=True),
    }
    keys: Any = valkey.keys("*")
    return repr([(key, read[valkey.type(key)](key)) for key in keys]).encode()


def test_a_deleted_job_leaves_nothing_in_redis(
    client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis
) -> None:
    job = submit()
    worker.run(job)
    redis_cache.put(valkey, UUID(job), 0, 0, png(0), 600)  # as a worker does
    assert job.encode() in everything(valkey)
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    assert job.encode() not in everything(valkey)
    assert UUID(job).hex.encode() not in everything(valkey)
