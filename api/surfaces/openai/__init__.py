"""OpenAI's image API, so that its clients work with this server unchanged."""

from fastapi import Depends, FastAPI

from api.guard import guard
from api.surface import Surface
from api.surfaces.openai import documents, edits, errors, routes


def _add_routes(app: FastAPI) -> None:
    for part in (routes, edits):
        app.include_router(part.router, dependencies=[Depends(guard)])


SURFACE = Surface(
    name="openai",
    paths=("/v1/images/", "/images/"),
    add_routes=_add_routes,
    render=errors.render,
    tags=({"name": "openai", "description": "For the clients of OpenAI's image API."},),
    document=documents.document,
    pictures_in=dict.fromkeys(
        [base + path for base in ("/images/", "/v1/images/") for path in ("edits", "variations")], 2
    ),
)
