"""Underpaint's own API."""

from typing import Any

from fastapi import Depends, FastAPI

from api.guard import GUARD_RESPONSES, guard
from api.openapi import REF
from api.surface import Surface
from api.surfaces.native.request_schema import NAME, job_request_schema, request_examples
from api.surfaces.native.routes import control, deliveries, events, iterates, jobs, refine, shares
from store.catalog import Catalog


def _add_routes(app: FastAPI) -> None:
    for part in (jobs, events, control, refine, iterates, deliveries, shares):
        app.include_router(part.router, dependencies=[Depends(guard)], responses=GUARD_RESPONSES)


def _document(document: dict[str, Any], catalog: Catalog) -> None:
    document["components"]["schemas"][NAME] = job_request_schema(catalog)
    body = {"schema": {"$ref": f"{REF}{NAME}"}, "examples": request_examples(catalog)}
    document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"] = body


SURFACE = Surface(
    name="native",
    paths=("/v1/",),
    add_routes=_add_routes,
    tags=(
        {"name": "jobs", "description": "Submit, watch, stop and remove jobs."},
        {"name": "pictures", "description": "Iterates: whole pictures that get sharper one by one."},
        {"name": "webhooks", "description": "What a job's webhook was told, and what it was not."},
    ),
    document=_document,
)
