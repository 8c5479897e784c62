"""Underpaint's own API."""

from fastapi import Depends, FastAPI

from api.guard import GUARD_RESPONSES, guard
from api.surface import Surface
from api.surfaces.native import documents
from api.surfaces.native.routes import control, deliveries, events, iterates, jobs, refine, shares, uploads


def _add_routes(app: FastAPI) -> None:
    for part in (jobs, events, control, refine, iterates, deliveries, shares, uploads):
        app.include_router(part.router, dependencies=[Depends(guard)], responses=GUARD_RESPONSES)


SURFACE = Surface(
    name="native",
    paths=("/v1/",),
    add_routes=_add_routes,
    tags=(
        {"name": "jobs", "description": "Submit, watch, stop and remove jobs."},
        {"name": "pictures", "description": "Iterates: whole pictures that get sharper one by one."},
        {"name": "uploads", "description": "Pictures to begin with."},
        {"name": "webhooks", "description": "What was sent to a job's webhook, and what was not."},
    ),
    document=documents.document,
    pictures_in={"/v1/uploads": 1},
)
