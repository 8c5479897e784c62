"""OpenAI's image API, so that its clients work with this server unchanged."""

from fastapi import Depends, FastAPI

from api.guard import guard
from api.surface import Surface
from api.surfaces.openai import documents, errors, routes


def _add_routes(app: FastAPI) -> None:
    app.include_router(routes.router, dependencies=[Depends(guard)])


SURFACE = Surface(
    name="openai",
    paths=("/v1/images/", "/images/"),
    add_routes=_add_routes,
    render=errors.render,
    tags=({"name": "openai", "description": "For the clients of OpenAI's image API."},),
    document=documents.document,
)
