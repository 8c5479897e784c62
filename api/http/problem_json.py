"""Problems as ``application/problem+json`` (RFC 9457)."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from api.http.body import Sent
from api.problems import Problem
from store import logs

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "X-Request-Id"
MAX_FIELD_CHARACTERS = 100


class FieldError(Sent):
    field: str
    message: str
    """What to change, worded to follow the field's name."""


class ProblemDetails(BaseModel):
    """What went wrong, and what to change (RFC 9457)."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow", title="Problem")

    type: str
    """The name of the kind of problem; it stays the same."""
    title: str
    """The kind of problem, in words."""
    status: int
    """The status code of the response."""
    detail: str
    """What happened this time, and what to change."""
    instance: str
    """The path of the request."""
    request_id: str
    """The `X-Request-Id` of the request, to find it in the server's log."""
    errors: list[FieldError]
    """The fields at fault, all at once; empty if it is not about fields."""


def request_id() -> str | None:
    """The id of the current request, as `api.middleware.request_ids` has bound it."""
    return logs.field("request_id")


def render(path: str, problem: Problem, **members: Any) -> Response:
    """The response to a request for ``path``, with further ``members`` in its body."""
    body = {
        "type": problem.uri(),
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": quote(path, errors="replace"),
        "errors": [{"field": each.field[:MAX_FIELD_CHARACTERS], "message": each.message} for each in problem.errors],
        **problem.members,
    }
    if (own := request_id()) is not None:
        body["request_id"] = own
    return respond(problem, {**body, **members}, MEDIA_TYPE)


def respond(problem: Problem, body: Mapping[str, Any], media_type: str) -> Response:
    """A problem as a response with this JSON body, for surfaces that have a format of their own."""
    headers = {"Cache-Control": "no-store", **(problem.headers or {})}
    if (own := request_id()) is not None:
        # Starlette answers unexpected exceptions outside of the middleware that sets this header.
        headers[REQUEST_ID] = own
    # JSON can carry half of a surrogate pair into the name of a field; UTF-8 cannot send it back.
    content = json.dumps(body, ensure_ascii=False).encode(errors="replace")
    return Response(content, problem.status, headers, media_type)
