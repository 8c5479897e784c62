"""The method HEAD."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Answers HEAD like GET, without the body: FastAPI's routes take one method each."""

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
                scope["route"] = inner.get("route")  # for the metrics middleware, further out
                await send(message)
            elif not ended:  # ends with the first part of the body: a stream might never end
                ended = True
                await send({**message, "body": b"", "more_body": False})

        await self.app(inner, receive, send_without_body)
