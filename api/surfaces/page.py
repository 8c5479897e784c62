"""The page, the API reference, and what browsers are told about both: static files, and nothing from other servers."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE = Path(__file__).resolve().parents[2] / "web"
REFERENCE = "/docs"

# Content Security Policy, level 3. Pictures are read with the API key and shown as blob: URLs.
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
# Swagger UI draws its icons from data: URLs in its style sheet, and puts HTML together by itself.
REFERENCE_POLICY = {
    name: "'self' data:" if name == "img-src" else value
    for name, value in POLICY.items()
    if name not in ("require-trusted-types-for", "trusted-types")
}

router = APIRouter(include_in_schema=False)


@router.get(REFERENCE)
async def reference() -> FileResponse:
    """The API reference: Swagger UI, served from here instead of somebody's network."""
    return FileResponse(PAGE / "docs.html")


def serve(app: FastAPI) -> None:
    """Serve the page and the API reference below everything else that ``app`` serves."""
    app.include_router(router)
    app.mount(f"{REFERENCE}/swagger-ui", StaticFiles(directory=_swagger_ui()))
    app.frontend("/", directory=PAGE, fallback=None)


class BrowserHeaders:
    """Says of everything but the API, whose answers ``api.http.security`` minds, what it may do in a browser. Files of
    the page are asked for again, so that an upgrade is seen."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.policy = _text(POLICY)
        self.reference_policy = _text(REFERENCE_POLICY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/v1/"):
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                of_reference = scope["path"] == REFERENCE
                headers["Content-Security-Policy"] = self.reference_policy if of_reference else self.policy
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _text(policy: dict[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in policy.items())


def _swagger_ui() -> Path:
    """The files of Swagger UI, which the package `fastapi-offline` carries; nothing else of it is needed."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("fastapi-offline is not installed: it is one of the dependencies")
    return Path(spec.origin).parent / "static"
