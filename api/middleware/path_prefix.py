"""The path of ``UNDERPAINT_PUBLIC_URL``, below which the server is reached."""

from urllib.parse import urlsplit

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class PathPrefix:
    """Removes the path of the server's public address from the paths of requests. So it does not matter whether a proxy
    in front of it has done that already."""

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self.app = app
        self.prefix = urlsplit(public_url).path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.prefix:
            await self.app(scope, receive, send)
        elif scope["path"] == self.prefix:
            # The addresses in the page are relative to its own.
            await RedirectResponse(f"{self.prefix}/")(scope, receive, send)
        elif scope["path"].startswith(f"{self.prefix}/"):
            raw: bytes | None = scope.get("raw_path")
            stripped = None if raw is None else raw.removeprefix(self.prefix.encode())
            path = scope["path"].removeprefix(self.prefix)
            await self.app({**scope, "path": path, "raw_path": stripped}, receive, send)
        else:
            await self.app(scope, receive, send)
