"""The page and the API reference: static files, which load nothing from other servers."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles

from api.openapi import as_served
from api.services import WithServices
from api.surface import Surface
from store.outages import DATABASE_AWAY

PAGE = Path(__file__).resolve().parents[2] / "web"
REFERENCE = "/docs"
DOCUMENT = "/openapi.json"

# Content Security Policy, level 3. Pictures are fetched with the API key and shown as blob: URLs.
DIRECTIVES = {
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
POLICY = "; ".join(f"{name} {value}" for name, value in DIRECTIVES.items())
# The style sheet of Swagger UI has icons as data: URLs, and its script builds HTML from strings.
REFERENCE_POLICY = "; ".join(
    f"{name} 'self' data:" if name == "img-src" else f"{name} {value}"
    for name, value in DIRECTIVES.items()
    if name not in ("require-trusted-types-for", "trusted-types")
)

router = APIRouter(include_in_schema=False)


@router.get(DOCUMENT)
async def document(request: Request, services: WithServices) -> JSONResponse:
    """The OpenAPI document of this server. Without a public address it is relative, so that a proxy may add to it."""
    try:
        keyless = not await services.keys.required()
    except DATABASE_AWAY:
        keyless = False
    made = as_served(request.app.openapi(), (services.settings.public_url or ".").rstrip("/"), keyless)
    return JSONResponse(made)


@router.get(REFERENCE)
async def reference() -> FileResponse:
    """The API reference: Swagger UI, served from here instead of from another server."""
    return FileResponse(PAGE / "docs.html")


def browser_headers(path: str, headers: MutableHeaders) -> None:
    """What the page, or another response outside of the APIs, may do in a browser."""
    headers["Content-Security-Policy"] = REFERENCE_POLICY if path == REFERENCE else POLICY
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers.setdefault("Cache-Control", "no-cache")  # browsers ask again, and so notice an upgrade


def _add_routes(app: FastAPI) -> None:
    app.include_router(router)
    app.mount(f"{REFERENCE}/swagger-ui", StaticFiles(directory=_swagger_ui()))
    app.frontend("/", directory=PAGE, fallback=None)


def _swagger_ui() -> Path:
    """The files of Swagger UI, which is all that is used of the package `fastapi-offline`."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("fastapi-offline is not installed: it is one of the dependencies")
    return Path(spec.origin).parent / "static"


# It owns all paths that no other surface owns.
SURFACE = Surface(name="page", paths=("/",), add_routes=_add_routes, complete_headers=browser_headers)
