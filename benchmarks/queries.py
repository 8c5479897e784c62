"""How many statements each request sends to PostgreSQL, counted in an API that runs in this process."""

import socket
import threading
import time
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine, event

from api.app import create_app
from api.queue.outbox import IDLE_SECONDS
from benchmarks.crowd import Service
from store.settings import StoreSettings
from tasks.queue import app as celery
from tests.api.worker import Worker

REQUEST = {"prompt": "red heart", "seed": 7}


def count(made: Service) -> dict[str, int]:
    """Statements by request; `BEGIN` and `COMMIT` are not among them."""
    counted: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counted.append(statement)

    url = made.engine.url.render_as_string(hide_password=False)
    listener = socket.create_server(("127.0.0.1", 0))
    celery.conf["broker_url"] = made.broker.url
    app = create_app(StoreSettings(database_url=url, redis_url=made.broker.url))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        with httpx.Client(
            base_url="http://{}:{}".format(*listener.getsockname()), trust_env=False, timeout=60
        ) as client:
            job = client.post("/v1/jobs", json=REQUEST).raise_for_status().json()["id"]
            Worker(made.engine).run(job)
            found: dict[str, int] = {}
            for name, (method, path) in _requests(job).items():
                for _ in range(2):  # the first one looks up what is then remembered
                    counted.clear()
                    client.request(method, path, json=REQUEST if method == "POST" else None).raise_for_status()
                    time.sleep(3 * IDLE_SECONDS)  # what follows the answer counts too
                found[name] = len(counted)
            return found
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        server.should_exit = True
        thread.join()


def _requests(job: str) -> dict[str, tuple[str, str]]:
    return {
        "POST /v1/jobs": ("POST", "/v1/jobs"),
        "GET /v1/jobs/{id}": ("GET", f"/v1/jobs/{job}"),
        "GET /v1/jobs": ("GET", "/v1/jobs"),
        "GET /v1/jobs/{id}/iterates": ("GET", f"/v1/jobs/{job}/iterates"),
        "GET the newest picture": ("GET", f"/v1/jobs/{job}/images/0/iterates/latest"),
        "GET the picture of an iterate": ("GET", f"/v1/jobs/{job}/images/0/iterates/1"),
        "GET /v1/jobs/{id}/events of a job that has ended": ("GET", f"/v1/jobs/{job}/events"),
        "GET /v1/models": ("GET", "/v1/models"),
    }
