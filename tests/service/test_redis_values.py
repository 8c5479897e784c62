"""Values in Redis that are not ours: jobs run, readiness and metrics are told, and nothing is a traceback."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from store import workers
from tasks.queue import QUEUE
from tests.service.parts import Api
from tests.tasks.outside import Broker, Fleet
from tests.until import until

Spoil = Callable[[redis.Redis], Any]


def announcements(value: str) -> Spoil:
    def spoil(client: redis.Redis) -> None:
        for part in ("worker", "beat"):
            for name in workers.alive(client, part):
                client.set(f"underpaint:{part}:{name}", value, keepttl=True)

    return spoil


def instead(key: str) -> Spoil:
    def spoil(client: redis.Redis) -> None:
        client.delete(key)
        if key.endswith("unacked_mutex"):
            client.rpush(key, "a list")
        else:
            client.set(key, "a string")

    return spoil


def waiting(message: str) -> Spoil:
    return lambda client: client.lpush(QUEUE, message)


SPOILED: dict[str, Spoil] = {
    "no JSON": announcements("no JSON"),
    "another JSON": announcements("[]"),
    "other fields": announcements('{"concurrency": "many"}'),
    "bytes": lambda client: client.sadd(workers.names_of("worker"), b"\xff\xfe"),
    "workers": instead(workers.names_of("worker")),
    "beats": instead(workers.names_of("beat")),
    "queue": instead(QUEUE),
    "bindings": instead(f"_kombu.binding.{QUEUE}"),
    "no bindings": lambda client: (
        client.delete(f"_kombu.binding.{QUEUE}"),
        client.sadd(f"_kombu.binding.{QUEUE}", "x"),
    ),
    "unacked": instead("unacked"),
    "unacked_index": instead("unacked_index"),
    "unacked_mutex": instead("unacked_mutex"),
    "message": waiting("no JSON"),
    "message list": waiting("[]"),
    "message task": waiting('{"body": "e30=", "headers": {"task": "x"}, "properties": {}}'),
}


@pytest.mark.parametrize("what", SPOILED)
def test_jobs_run(
    what: str, api: Api, fleet: Fleet, broker: Broker, database: Engine, pool: ThreadPoolExecutor
) -> None:
    before = fleet.logs().count("Traceback"), len(api.log())
    with redis.Redis.from_url(broker.url) as client, api.client() as asking:
        until(lambda: workers.alive(client) and workers.alive(client, "beat"))
        SPOILED[what](client)
        assert asking.get("/readyz").status_code in {200, 503}
        assert asking.get("/metrics").status_code == 200
        job = api.submit(steps=4)
        assert [event.kind for event in api.follow(job)][-1] == "done"
        assert api.get(job)["state"] == "succeeded"
        until(lambda: asking.get("/readyz").status_code == 200)
        client.delete("unacked_mutex")
    assert "Traceback" not in api.log()[before[1] :]
    assert fleet.logs().count("Traceback") == before[0], fleet.logs()
