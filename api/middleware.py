"""What happens to every request before it is routed."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import render
from api.problems import BodyTooLarge


class BodyLimit:
    """Refuses bodies of more than ``max_bytes``, whether their length was announced or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # What is left of the body is not read: the connection cannot be used again.
        too_large = BodyTooLarge(f"The body may have at most {self.max_bytes} bytes.", headers={"Connection": "close"})
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self.max_bytes:
            await render(scope["path"], too_large)(scope, receive, send)
            return
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise too_large
            return message

        await self.app(scope, receive_some, send)


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
