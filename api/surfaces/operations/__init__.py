"""What the operator of the server reads: health, readiness and metrics."""

from fastapi import FastAPI

from api.surface import Surface
from api.surfaces.operations import health, metrics
from api.surfaces.page import browser_headers


def _add_routes(app: FastAPI) -> None:
    app.include_router(health.router)
    app.include_router(metrics.router)


SURFACE = Surface(
    name="operations",
    paths=("/healthz", "/readyz", "/metrics"),
    add_routes=_add_routes,
    complete_headers=browser_headers,
    tags=({"name": "server", "description": "Whether the server is well."},),
)
