"""The OpenAPI document, beyond what FastAPI makes of the routes."""

import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from api.http.problem_json import MEDIA_TYPE, ProblemDetails
from api.problems import Problem
from api.surface import Surfaces
from store.catalog import Catalog

REF = "#/components/schemas/"
REQUEST_ID = "5f2b8c1d7e9a4b0c8d6e3f1a2b4c5d6e"

DESCRIPTION = """\
Text to image, with a rough but whole picture long before the image is finished.

1. `POST /v1/jobs` with a prompt returns a job at once.
2. `GET /v1/jobs/{job_id}` returns its state, and `GET /v1/jobs/{job_id}/images/0/iterates/latest` its newest picture.
3. Each iterate is a whole picture, sharper than the one before, until the job has `succeeded`.

There is no need to poll. `?wait=20` (or `Prefer: wait=20`) with `If-None-Match` holds a response until it has changed,
`GET /v1/jobs/{job_id}/events` streams what happens as server-sent events, and a `webhook` is called.

Errors are `application/problem+json` (RFC 9457), and say what to change.

Every response has an `X-Request-Id`: that of the request, or a new one. The server's log has it, too.
"""


def responses(*kinds: type[Problem], **others: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may end in these problems, and ``others``, such as ``_304={...}``."""
    documented: dict[int | str, dict[str, Any]] = {int(name.strip("_")): other for name, other in others.items()}
    for kind in kinds:
        response = documented.setdefault(kind.status.value, {"description": "", "content": {}})
        response["description"] = "; ".join(filter(None, (response["description"], kind.title)))
        content = response["content"].setdefault(
            MEDIA_TYPE, {"schema": {"$ref": f"{REF}{ProblemDetails.__name__}"}, "examples": {}}
        )
        content["examples"][kind.slug] = {"summary": kind.title, "value": _example(kind)}
    return documented


def header(description: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    """A header of a response."""
    return {"description": description, "schema": {"type": kind}, **more}


def example(answer: BaseModel) -> dict[str, Any]:
    """The ``content`` of a documented response that shows ``answer``."""
    return {"application/json": {"example": answer.model_dump(mode="json")}}


def documenting(app: FastAPI, surfaces: Surfaces, catalog: Catalog) -> Callable[[], dict[str, Any]]:
    """A replacement for ``app.openapi``. It makes the document once."""

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
            _complete(made)
            for surface in surfaces:
                surface.document(made, catalog)
            _explain_defaults(made)
            app.openapi_schema = made
        return app.openapi_schema

    return document


def as_served(document: dict[str, Any], server: str, keyless: bool) -> dict[str, Any]:
    """The document of a server at this address, or relative to the document's own. ``keyless``: it has no keys."""
    made = {**document, "servers": [{"url": server}]}
    if keyless:
        made["paths"] = {
            path: {
                method: {**operation, "security": [{}, *operation["security"]]}
                if "security" in operation
                else operation
                for method, operation in operations.items()
            }
            for path, operations in document["paths"].items()
        }
    return made


def _explain_defaults(document: dict[str, Any]) -> None:
    """Tell the defaults of requests in words: generators of clients make a field that has a ``default`` a required
    one."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                name = content["schema"].get("$ref", "").removeprefix(REF)
                for field in document["components"]["schemas"].get(name, {}).get("properties", {}).values():
                    if (default := field.pop("default", None)) is not None:
                        field["description"] = f"{field['description']} *Default:* `{json.dumps(default)}`."


def _complete(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    # FastAPI's own 422, which no route here responds with.
    for path in document["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422", "")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = ProblemDetails.model_json_schema(mode="serialization", ref_template=f"{REF}{{model}}")
    schemas |= problem.pop("$defs")
    schemas[ProblemDetails.__name__] = problem


def _example(kind: type[Problem]) -> dict[str, Any]:
    return {
        "type": kind.uri(),
        "title": kind.title,
        "status": kind.status.value,
        "detail": kind.example,
        "instance": "/v1/jobs",
        "request_id": REQUEST_ID,
        "errors": [],
    }
