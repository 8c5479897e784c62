"""How much of a body that is too large is read."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from api.middleware.size_limits import DRAINED_BYTES, BodyLimit
from api.problems import BodyTooLarge
from api.surfaces import SURFACES

CHUNK = 2**20


class Client:
    """Sends a body in chunks, or endlessly, and counts those that were read."""

    def __init__(self, chunks: int | None) -> None:
        self._chunks = chunks
        self.read = 0
        self.status: int | None = None

    async def receive(self) -> Message:
        self.read += 1
        return {"type": "http.request", "body": bytes(CHUNK), "more_body": self.read != self._chunks}

    async def send(self, message: Message) -> None:
        self.status = message.get("status", self.status)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()
    raise AssertionError("the body was accepted")


def request(client: Client, **headers: str) -> None:
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/jobs", "query_string": b""}
    scope["headers"] = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(BodyLimit(app, SURFACES, 10)(scope, client.receive, client.send))


@pytest.mark.parametrize(("chunks", "read"), [(1, 1), (3, 3), (None, DRAINED_BYTES // CHUNK)])
def test_a_refused_body_is_drained_up_to_a_limit(chunks: int | None, read: int) -> None:
    """Else the connection is reset, and the client loses the response."""
    client = Client(chunks)
    request(client, content_length=str(CHUNK * (chunks or 1000)))
    assert (client.status, client.read) == (413, read)


def test_a_client_that_waits_for_permission_sends_nothing() -> None:
    client = Client(3)
    request(client, content_length=str(3 * CHUNK), expect="100-continue")
    assert (client.status, client.read) == (413, 0)


@pytest.mark.parametrize(("chunks", "read"), [(1, 1), (3, 3), (None, 1 + DRAINED_BYTES // CHUNK)])
def test_a_body_without_a_length_is_drained_after_the_limit(chunks: int | None, read: int) -> None:
    client = Client(chunks)
    with pytest.raises(BodyTooLarge):
        request(client)
    assert client.read == read
