"""The tools of ``underpaint mcp`` by streamable HTTP at ``/mcp``, if the extra ``mcp`` is installed.

Each call of a tool makes requests to this app, in this process and with the key of the caller. So every limit holds for
it. No session is kept, so that any API process can answer any request.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import httpx
from fastapi import FastAPI, Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.errors import problem_of
from api.guard import BEARER, identified, presented
from api.problems import Problem
from api.services import Services
from api.surface import Surface, private_headers

PATH = "/mcp"
METHODS = ["GET", "POST", "DELETE"]
# What the guard of the requests that a tool makes has to see. The site was checked before.
PASSED = ("authorization", "api-key", "x-api-key", "host")


class Endpoint:
    """The ASGI app at ``/mcp``."""

    def __init__(self, app: FastAPI) -> None:
        from underpaint.tools import serve

        self._app = app
        self._tools = serve(self._client)
        self._tools.streamable_http_app(stateless_http=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the context lasts, requests are answered."""
        async with self._tools.session_manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        services: Services = request.state.services
        try:
            await identified(request, services, presented(request, await BEARER(request)))
        except Problem as problem:
            await SURFACE.render(scope["path"], problem_of(request, problem))(scope, receive, send)
            return
        await self._tools.session_manager.handle_request(scope, receive, send)

    def _client(self, context: Any) -> Any:
        from underpaint.asynchronous import AsyncUnderpaint

        request: Request = context.request_context.request
        state = {"services": request.state.services}

        async def here(scope: Scope, receive: Receive, send: Send) -> None:
            await self._app({**scope, "state": dict(state)}, receive, send)

        headers = {name: request.headers[name] for name in PASSED if name in request.headers}
        return AsyncUnderpaint.over(httpx.ASGITransport(here), str(request.base_url), headers)


def _add_routes(app: FastAPI) -> None:
    if find_spec("mcp") is None:
        return
    app.state.mcp = Endpoint(app)
    app.router.routes.append(Route(PATH, app.state.mcp, methods=METHODS, include_in_schema=False))


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    endpoint: Endpoint | None = getattr(app.state, "mcp", None)
    if endpoint is None:
        yield
        return
    async with endpoint.running():
        yield


SURFACE = Surface(name="mcp", paths=(PATH,), add_routes=_add_routes, complete_headers=private_headers, running=_running)
