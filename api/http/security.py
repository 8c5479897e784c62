"""What is the same for every request and answer: bounds on what comes before the body, and headers that keep answers
where they belong."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import render
from api.problems import HeadTooLarge, PathTooLong

LONGEST_TARGET = 8192  # bytes of path and query
SHOWN = 100  # characters of a path that is too long

# No answer is taken for something other than it says, nor is its address told to other sites.
ALWAYS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
# What the API sends is no page: nothing in it may run, or be put into somebody's frame.
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"


class HeadLimit:
    """Refuses requests whose address is too long, or whose header fields have more than ``max_bytes`` together. What is
    larger by far is refused before by the server that runs the app: it would have to hold it first."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "http":
            if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > LONGEST_TARGET:
                too_long = PathTooLong(f"Path and query may have at most {LONGEST_TARGET} bytes together.")
                app = render(scope["path"][:SHOWN], too_long)
            elif sum(len(name) + len(value) for name, value in scope["headers"]) > self.max_bytes:
                too_large = HeadTooLarge(f"The header fields may have at most {self.max_bytes} bytes together.")
                app = render(scope["path"], too_large)
        await app(scope, receive, send)


class AnswerHeaders:
    """Completes the header of every answer: where the key stands with its limits, and what browsers and caches between
    must not do with it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ALWAYS)
                if scope["path"].startswith("/v1/"):
                    _keep_private(headers)
                if standing := scope.get("state", {}).get("standing"):
                    headers.update(standing.headers())
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _keep_private(headers: MutableHeaders) -> None:
    """What one key may see, nobody else gets out of a cache: neither a shared one, nor that of a browser that has
    changed its key."""
    given = headers.get("Cache-Control", "no-store")
    if "private" not in given and "no-store" not in given:
        given = f"private, {given}"
    headers["Cache-Control"] = given
    headers["Content-Security-Policy"] = NO_PAGE
    headers.add_vary_header("Authorization")
