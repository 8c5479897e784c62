"""The receiver that the page on webhooks shows takes what is signed, and refuses what is not."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import httpx

from store.webhook_secrets import new_secret
from tasks.webhooks.message import headers
from tests.until import until

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_receives_and_verifies() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    secret, body = new_secret(), b'{"type":"job.done","data":{"job":"heart"}}'
    environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        url, delivery = f"http://127.0.0.1:{port}/", uuid4()
        until(lambda: listens(port))
        forged = headers([new_secret()], delivery, int(time.time()), body)
        assert httpx.post(url, content=body, headers=forged).status_code == 401
        signed = headers([secret], delivery, int(time.time()), body)
        assert httpx.post(url, content=body, headers=signed).status_code == 204
        assert process.stdout is not None
        assert process.stdout.readline() == f"{delivery} job.done heart\n"
    finally:
        process.kill()
        process.communicate()
