"""The floor that the service is measured against: FastAPI and Celery that do nothing but pass a message on.

`POST /echo` sends a task and answers; `POST /echo/wait` answers once the worker has run it, which tells so in Redis.
As in Underpaint the API is uvicorn, the broker Valkey, and the worker's pool threads; there is no database.
`python -m benchmarks.echo FD` serves on a listening socket that it inherits.
"""

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import redis
import redis.asyncio
import uvicorn
from celery import Celery
from fastapi import FastAPI, Request

URL = "UNDERPAINT_ECHO_URL"

worker = Celery("echo", set_as_current=False)
worker.add_defaults(lambda: {"broker_url": os.environ[URL], "task_ignore_result": True, "task_default_queue": "echo"})


@worker.task(name="echo")
def echo(name: str) -> None:
    """Tell who waits for `name` that it has arrived."""
    with redis.Redis.from_url(os.environ[URL]) as client:
        client.publish(f"echo:{name}", b"")


def create_app() -> FastAPI:
    """The app, for uvicorn's factory mode."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with redis.asyncio.Redis.from_url(os.environ[URL]) as client:
            yield {"redis": client}

    app = FastAPI(lifespan=lifespan)

    @app.post("/echo", status_code=202)
    def send(body: dict[str, Any]) -> dict[str, Any]:
        name = uuid4().hex
        worker.send_task("echo", (name,))
        return {"id": name, **body}

    @app.post("/echo/wait")
    async def wait(body: dict[str, Any], request: Request) -> dict[str, Any]:
        name = uuid4().hex
        async with request.state.redis.pubsub() as subscriber:
            await subscriber.subscribe(f"echo:{name}")
            worker.send_task("echo", (name,))
            async for message in subscriber.listen():
                if message["type"] == "message":
                    break
        return {"id": name, **body}

    return app


if __name__ == "__main__":
    # Not by uvicorn's own `--fd`, which takes any socket for one of AF_UNIX: its answers would wait for ACKs.
    config = uvicorn.Config(create_app, factory=True, log_level="warning")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
