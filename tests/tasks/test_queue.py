"""Putting jobs on the queue, as the API does."""

import base64
import json
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
import redis
from sqlalchemy import Engine

from store.database import sync_sessions
from tasks.dispatch import send
from tasks.queue import QUEUE, WORK, QueueUnavailable, app, enqueue
from tests.tasks.jobs import Jobs


def test_a_message_only_calls(valkey: redis.Redis) -> None:
    enqueue()
    stored = valkey.lpop(QUEUE)
    assert isinstance(stored, bytes)
    message = json.loads(stored)
    assert message["headers"]["task"] == WORK
    assert json.loads(base64.b64decode(message["body"]))[:2] == [[], {}]


def test_an_emptied_broker_takes_jobs(valkey: redis.Redis) -> None:
    enqueue()
    valkey.flushdb()
    enqueue()
    assert valkey.llen(QUEUE) == 1


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://no-such-host.invalid/0"])
def test_a_broker_that_is_gone_is_unavailable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "broker_url", url)
    with pytest.raises(QueueUnavailable, match="did not take the call"):
        enqueue()


def test_a_broker_that_does_not_answer_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default Celery and kombu would both try again, with pauses."""
    with socket.create_server(("127.0.0.1", 0), backlog=32) as mute:
        monkeypatch.setitem(app.conf, "broker_url", "redis://{}:{}/0".format(*mute.getsockname()))
        with pytest.raises(QueueUnavailable, match="did not take the call"):
            enqueue()
        assert connections(mute) == 1


def connections(server: socket.socket) -> int:
    """How many clients have connected."""
    server.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


@pytest.mark.parametrize("known", [False, True], ids=["first message", "later message"])
@pytest.mark.parametrize(
    ("refuse", "accept", "reason"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "maxmemory"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read only replica"),
    ],
    ids=["full", "replica"],
)
def test_a_broker_that_refuses_writes_is_unavailable(
    valkey: redis.Redis, known: bool, refuse: tuple[str, ...], accept: tuple[str, ...], reason: str
) -> None:
    if known:  # the queue is declared: the message itself is refused
        enqueue()
    valkey.execute_command(*refuse)
    try:
        with pytest.raises(QueueUnavailable, match=reason):
            enqueue()
    finally:
        valkey.execute_command(*accept)
    enqueue()


def test_jobs_stay_unsent_from_the_one_on_that_the_broker_refuses(
    jobs: Jobs, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(app.conf, "broker_url", "redis://127.0.0.1:1/0")
    waiting = [jobs.submit() for _ in range(3)]
    assert send(sync_sessions(engine), waiting) == 0
    assert all(jobs.get(job_id).sent_at is None for job_id in waiting)
    (record,) = caplog.records
    assert record.getMessage().startswith("3 jobs stay unsent for now")


def test_whoever_sends_jobs_loads_neither_torch_nor_the_code_that_runs_them() -> None:
    heavy = ("torch", "sampler", "tasks")
    code = f"import sys, tasks.queue; print(*[name for name in sys.modules if name.startswith({heavy})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["tasks", "tasks.broker", "tasks.queue"]
