"""Problems in OpenAI's shape: ``{"error": {"message": ..., "type": ..., "param": ..., "code": ...}}``.

The status decides which exception the official client raises, and ``code`` is what programs compare.
"""

from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from api.http.problem_json import respond
from api.problems import BadRequest, DeadlineExceeded, GenerationCanceled, GenerationFailed, InvalidRequest, Problem
from contract.problems import Code

MEDIA_TYPE = "application/json"
MAX_PARAM_CHARACTERS = 100

# The clients retry after 409 and 5xx, unless this header says that it does not help.
NO_RETRY = {"X-Should-Retry": "false"}

_CODES = {HTTPStatus.UNAUTHORIZED: "invalid_api_key", HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_exceeded"}
_FIELD_CODES = {Code.MISSING: "missing_required_parameter", Code.UNKNOWN: "unknown_parameter"}
_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}


def render(_: str, problem: Problem) -> Response:
    """A problem as a response."""
    problem = translated(problem)
    return respond(problem, {"error": error(problem)}, MEDIA_TYPE)


def translated(problem: Problem) -> Problem:
    """The problem as this surface knows it: an invalid request is a bad request, and a job that has ended without
    pictures is not worth a retry."""
    if type(problem) is InvalidRequest:
        return BadRequest(problem.detail, problem.errors, problem.headers)
    if isinstance(problem, DeadlineExceeded | GenerationCanceled | GenerationFailed):
        return type(problem)(problem.detail, headers={**(problem.headers or {}), **NO_RETRY})
    return problem


def error(problem: Problem) -> dict[str, Any]:
    """The ``error`` of a problem. ``param`` is the first field at fault; ``message`` reports all of them."""
    return {
        "message": problem.detail,
        "type": _TYPES.get(problem.status, "server_error" if problem.status >= 500 else "invalid_request_error"),
        "param": problem.errors[0].field[:MAX_PARAM_CHARACTERS] if problem.errors else None,
        "code": _code(problem),
    }


def _code(problem: Problem) -> str:
    if isinstance(problem, BadRequest) and problem.errors:
        return _FIELD_CODES.get(problem.errors[0].code, "invalid_value")
    return _CODES.get(problem.status, problem.slug.replace("-", "_"))
