"""The headers of every response."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.surface import Surfaces

# Browsers neither guess another media type, nor send the address of this server to other sites.
ALWAYS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class ResponseHeaders:
    """Adds the headers that browsers need for safety, those of the surface, and the caller's rate limit."""

    def __init__(self, app: ASGIApp, surfaces: Surfaces) -> None:
        self.app = app
        self.surfaces = surfaces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ALWAYS)
                self.surfaces.of(scope["path"]).complete_headers(scope["path"], headers)
                if standing := scope.get("state", {}).get("standing"):
                    headers.update(standing.headers())
            await send(message)

        await self.app(scope, receive, send_with_headers)
