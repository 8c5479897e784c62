"""Putting jobs on the queue, as the API does."""

import base64
import json
import subprocess
import sys
import time

import pytest
import redis

from tasks.queue import QUEUE, WORK, QueueUnavailable, app, enqueue


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
def test_a_broker_that_is_gone_is_said_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "broker_url", url)
    began = time.monotonic()
    with pytest.raises(QueueUnavailable, match="did not take the call"):
        enqueue()
    assert time.monotonic() - began < 10  # by default Celery would try for longer


def test_whoever_sends_jobs_loads_neither_torch_nor_the_code_that_runs_them() -> None:
    heavy = ("torch", "sampler", "tasks")
    code = f"import sys, tasks.queue; print(*[name for name in sys.modules if name.startswith({heavy})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["tasks", "tasks.queue"]
