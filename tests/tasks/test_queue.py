"""Putting jobs on the queue, as the API does."""

import base64
import json
import subprocess
import sys
import time
from uuid import uuid4

import pytest
import redis

from tasks.queue import QUEUE, RUN, QueueUnavailable, app, enqueue


def test_a_message_is_the_jobs_id(valkey: redis.Redis) -> None:
    job_id = uuid4()
    enqueue(job_id)
    stored = valkey.lpop(QUEUE)
    assert isinstance(stored, bytes)
    message = json.loads(stored)
    assert (message["headers"]["task"], message["headers"]["id"]) == (RUN, str(job_id))
    arguments, _, _ = json.loads(base64.b64decode(message["body"]))
    assert arguments == [str(job_id)]


def test_an_emptied_broker_takes_jobs(valkey: redis.Redis) -> None:
    enqueue(uuid4())
    valkey.flushdb()
    enqueue(uuid4())
    assert valkey.llen(QUEUE) == 1


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://no-such-host.invalid/0"])
def test_a_broker_that_is_gone_is_said_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "broker_url", url)
    job_id = uuid4()
    began = time.monotonic()
    with pytest.raises(QueueUnavailable, match=str(job_id)):
        enqueue(job_id)
    assert time.monotonic() - began < 10  # by default Celery would try for longer


def test_whoever_sends_jobs_loads_neither_torch_nor_the_code_that_runs_them() -> None:
    heavy = ("torch", "sampler", "tasks")
    code = f"import sys, tasks.queue; print(*[name for name in sys.modules if name.startswith({heavy})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["tasks", "tasks.queue"]
