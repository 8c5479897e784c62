"""What happens to every request before it is routed."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import render
from api.problems import BodyTooLarge

# What is still read of a body that is refused, in bytes and seconds. Most clients read the answer only when they have
# sent all, and lose it when the connection is reset meanwhile.
DRAINED = 16 * 2**20
PATIENCE = 2.0


class BodyLimit:
    """Refuses bodies of more than ``max_bytes``, whether their length was announced or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Some of the body may be left: the connection cannot be used again.
        too_large = BodyTooLarge(f"The body may have at most {self.max_bytes} bytes.", headers={"Connection": "close"})
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self.max_bytes:
            if "expect" not in headers:  # who asks before it sends, sends nothing
                await _drain(receive)
            await render(scope["path"], too_large)(scope, receive, send)
            return
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                if message.get("more_body"):
                    await _drain(receive)
                raise too_large
            return message

        await self.app(scope, receive_some, send)


async def _drain(receive: Receive) -> None:
    """Take what comes of a body, within bounds, and drop it."""
    left, more = DRAINED, True
    try:
        async with asyncio.timeout(PATIENCE):
            while more and left > 0:
                message = await receive()
                more = message.get("more_body", False)  # a client that has left sends no more either
                left -= len(message.get("body", b""))
    except TimeoutError:
        pass


class Head:
    """Answers HEAD as GET without the body: FastAPI's routes take one method each."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        inner = {**scope, "method": "GET"}
        ended = False

        async def send_without_body(message: Message) -> None:
            nonlocal ended
            if message["type"] != "http.response.body":
                scope["route"] = inner.get("route")  # for whoever measures requests, further out
                await send(message)
            elif not ended:  # with the first part of a body: a stream would never end
                ended = True
                await send({**message, "body": b"", "more_body": False})

        await self.app(inner, receive, send_without_body)
