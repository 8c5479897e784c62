"""The OpenAPI document, beyond what FastAPI makes of the routes."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import MEDIA_TYPE
from api.problems import Problem
from api.surfaces.native import examples, schemas, views
from api.surfaces.native.request_schema import NAME, job_request_schema, request_examples
from api.surfaces.openai import documents as openai
from store.catalog import Catalog

REF = "#/components/schemas/"

TAGS = [
    {"name": "jobs", "description": "Submit, watch, stop and remove jobs."},
    {"name": "pictures", "description": "Iterates: whole pictures that get sharper one by one."},
    {"name": "webhooks", "description": "What a job's webhook was told, and what it was not."},
    {"name": "openai", "description": "For the clients of OpenAI's image API."},
    {"name": "models", "description": "What can be asked for."},
    {"name": "server", "description": "Whether the server is well."},
]

DESCRIPTION = """\
Text to image, with a rough but whole picture long before the image is finished.

1. `POST /v1/jobs` with a prompt answers with a job at once.
2. `GET /v1/jobs/{job_id}` tells where it stands, and `GET /v1/jobs/{job_id}/images/0/iterates/latest` is its newest
   picture.
3. Each iterate is a whole picture, sharper than the one before, until the job has `succeeded`.

Nobody need ask again and again: `?wait=20` (or `Prefer: wait=20`) with `If-None-Match` holds an answer until it is
another one, and `GET /v1/jobs/{job_id}/events` streams what happens as server-sent events.
Or name a `webhook`, which is told.

Whatever goes wrong is answered with `application/problem+json` (RFC 9457) that says what to change.

Every answer has an `X-Request-Id`: that of the request, or else one that was made for it. The server's log has it too.
"""


def responses(*kinds: type[Problem], **others: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may end in these problems. ``others`` are further ones, as ``_304={...}``."""
    documented: dict[int | str, dict[str, Any]] = {int(name.strip("_")): other for name, other in others.items()}
    for kind in kinds:
        response = documented.setdefault(kind.status.value, {"description": "", "content": {}})
        response["description"] = "; ".join(filter(None, (response["description"], kind.title)))
        content = response["content"].setdefault(
            MEDIA_TYPE, {"schema": {"$ref": f"{REF}{schemas.ProblemDetails.__name__}"}, "examples": {}}
        )
        content["examples"][kind.slug] = {"summary": kind.title, "value": _example(kind)}
    return documented


def header(description: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    """A header of a response."""
    return {"description": description, "schema": {"type": kind}, **more}


def documenting(app: FastAPI, catalog: Catalog) -> Callable[[], dict[str, Any]]:
    """What takes the place of ``app.openapi``: makes the document once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
                license_info=app.license_info,
            )
            app.openapi_schema = _complete(made, catalog)
        return app.openapi_schema

    return document


def _complete(document: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    found = document["components"]["schemas"]
    # FastAPI's own 422, which no route here answers with.
    for path in document["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422", "")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        found.pop(name, None)
    problem = schemas.schema(schemas.ProblemDetails)
    found |= problem.pop("$defs")
    found[schemas.ProblemDetails.__name__] = problem
    found[NAME] = job_request_schema(catalog)
    models = document["paths"]["/v1/models"]["get"]["responses"]["200"]["content"]
    models["application/json"] |= examples.example(views.models(catalog))["application/json"]
    model = document["paths"]["/v1/models/{model}"]["get"]["responses"]["200"]["content"]
    model["application/json"] |= examples.example(views.model(catalog, catalog.default))["application/json"]
    body = {"schema": {"$ref": f"{REF}{NAME}"}, "examples": request_examples(catalog)}
    document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"] = body
    found[openai.NAME] = openai.request_of(catalog)
    body = {"schema": {"$ref": f"{REF}{openai.NAME}"}, "examples": openai.request_examples(catalog)}
    document["paths"]["/v1/images/generations"]["post"]["requestBody"]["content"]["application/json"] = body
    return document


def _example(kind: type[Problem]) -> dict[str, Any]:
    return {
        "type": kind.uri(),
        "title": kind.title,
        "status": kind.status.value,
        "detail": kind.example,
        "instance": "/v1/jobs",
        "request_id": examples.REQUEST_ID,
        "errors": [],
    }
