"""Messages that are lost, doubled or out of order, and an API that dies before it has sent one."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
from sqlalchemy import Engine

from tasks.queue import QUEUE
from tests.service.parts import Api
from tests.service.story import JOB, Story, Undisturbed
from tests.tasks.jobs import Jobs
from tests.tasks.outside import Broker, Fleet

SHORT: dict[str, Any] = {"steps": 8, "blocks": 4, "tolerance": 0.0}


def test_killed_after_the_commit_and_before_the_message(
    api: Api, jobs: Jobs, broker: Broker, database: Engine, undisturbed: Undisturbed, pool: ThreadPoolExecutor
) -> None:
    """The client has its answer, or lost it: asking again gives the same job, and that runs."""
    request = {"prompt": "red heart", "seed": 7, "method": "srds", **JOB}

    def send() -> httpx.Response:
        with api.client() as client:
            return client.post("/v1/jobs", json=request, headers={"Idempotency-Key": "once"})

    with broker.frozen():
        answer = send()
        assert answer.status_code == 202, "no client waits for the broker"
        assert jobs.get(UUID(answer.json()["id"])).sent_at is None
        api.kill()
    api.start()
    again = send()
    assert (again.json()["id"], again.headers["idempotency-replayed"]) == (answer.json()["id"], "true")
    Story(api, pool, again.json()["id"]).check(jobs, undisturbed, attempts=1, crashes=0)


@pytest.mark.slow
def test_messages_that_come_often_and_in_any_order(
    api: Api, fleet: Fleet, jobs: Jobs, broker: Broker, pool: ThreadPoolExecutor
) -> None:
    fleet.have(2)
    with fleet.frozen():
        stories = [Story(api, pool, api.submit(**SHORT, seed=seed)) for seed in range(6)]
        with redis.Redis.from_url(broker.url) as client:
            messages: Any = client.lrange(QUEUE, 0, -1)
            assert len(messages) >= 2
            client.delete(QUEUE)
            client.rpush(QUEUE, *messages, *messages, *reversed(messages))
    for story in stories:
        heard = story.events()
        job = jobs.get(UUID(story.job))
        assert (job.state, job.stopped, job.attempt, job.crashes) == ("succeeded", "exact", 1, 0)
        assert [event.id for event in heard] == list(range(1, job.seq + 1))
        assert [event.kind for event in heard].count("done") == 1
        # With all of them at once there is little idle width: an iterate may be overtaken by the exact one.
        iterates = [event.data["iterate"] for event in heard if event.kind == "iterate"]
        assert (iterates, iterates[0], iterates[-1]) == (sorted(set(iterates)), 0, 4)
