"""Limits on the size of a request. The surface that owns the path makes the response to one that is too large."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.headers import digits
from api.problems import BodyTooLarge, HeadTooLarge, PathTooLong
from api.surface import Surfaces

MAX_TARGET_BYTES = 8192  # path and query together; common proxies allow as much
SHOWN_CHARACTERS = 100  # of a path that is too long

# How much of a refused body is still read, and for how long. Most clients read the response only after they have sent
# everything: a connection that is reset meanwhile loses it for them.
DRAINED_BYTES = 64 * 2**20
DRAINED_SECONDS = 2.0


class HeadLimit:
    """Refuses requests whose target is too long, or whose header fields have more than ``max_bytes`` together. uvicorn
    has limits of its own, far above these: it has to hold the header before this can count it."""

    def __init__(self, app: ASGIApp, surfaces: Surfaces, max_bytes: int) -> None:
        self.app = app
        self.surfaces = surfaces
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "http":
            if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > MAX_TARGET_BYTES:
                too_long = PathTooLong(f"Path and query may have at most {MAX_TARGET_BYTES} bytes together.")
                app = self.surfaces.render(scope["path"][:SHOWN_CHARACTERS], too_long)
            elif sum(len(name) + len(value) for name, value in scope["headers"]) > self.max_bytes:
                too_large = HeadTooLarge(f"The header fields may have at most {self.max_bytes} bytes together.")
                app = self.surfaces.render(scope["path"], too_large)
        await app(scope, receive, send)


class BodyLimit:
    """Refuses bodies that are larger than the surface allows, or than ``max_bytes`` if it does not say. It counts what
    arrives as well: a Content-Length may be missing."""

    def __init__(self, app: ASGIApp, surfaces: Surfaces, max_bytes: int, max_picture_bytes: int = 0) -> None:
        self.app = app
        self.surfaces = surfaces
        self.max_bytes = max_bytes
        self.max_picture_bytes = max_picture_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        surface = self.surfaces.of(scope["path"])
        max_bytes = self.max_bytes if surface.max_body_bytes is None else surface.max_body_bytes
        # Base64 takes four bytes for three.
        max_bytes += surface.pictures_in.get(scope["path"], 0) * (self.max_picture_bytes * 4 // 3 + 4)
        # Some of the body may be left unread: the connection cannot be used again.
        too_large = BodyTooLarge(f"The body may have at most {max_bytes} bytes.", headers={"Connection": "close"})
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "")
        if digits(announced, max_bytes + 1) > max_bytes:
            if "expect" not in headers:  # a client that asks first (100-continue) sends nothing now
                await _drain(receive)
            await surface.render(scope["path"], too_large)(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                if message.get("more_body"):
                    await _drain(receive)
                raise too_large
            return message

        await self.app(scope, receive_limited, send)


async def _drain(receive: Receive) -> None:
    """Read and drop the rest of a body, within limits."""
    left, more = DRAINED_BYTES, True
    try:
        async with asyncio.timeout(DRAINED_SECONDS):
            while more and left > 0:
                message = await receive()
                more = message.get("more_body", False)  # missing if the client has disconnected
                left -= len(message.get("body", b""))
    except TimeoutError:
        pass
