"""Exceptions become problems, and problems become responses."""

import json
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from api import problems
from api.http.request_ids import HEADER, request_id
from api.live import sse as streams
from api.problems import Problem
from api.surfaces.openai import errors as openai
from contract.problems import Code, FieldProblem, InvalidFields, of_pydantic

MEDIA_TYPE = "application/problem+json"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
LONGEST_FIELD = 100

log = logging.getLogger(__name__)


def register(app: FastAPI) -> None:
    """Let every exception that a request of ``app`` ends in be answered as a problem."""
    known = (HTTPException, RequestValidationError, InvalidFields, OperationalError, InterfaceError, PoolTimeout)
    for kind in (*known, Exception):
        app.add_exception_handler(kind, answer)


async def answer(request: Request, error: Exception) -> Response:
    """The response to a request that ended in ``error``."""
    problem = problem_of(request, error)
    if isinstance(problem, problems.DatabaseGone) and streams.is_wanted(request):
        return streams.come_back()
    return render(request.scope["path"], problem)


def problem_of(request: Request, error: Exception) -> Problem:
    """The problem that an exception is to the client."""
    match error:
        case Problem():
            return error
        case InvalidFields():
            return problems.InvalidRequest.of(error.problems)
        case RequestValidationError():
            return _of_validation(error.errors())
        case HTTPException(status_code=HTTPStatus.NOT_FOUND):
            return problems.NoSuchPath("Nothing is served here: /docs lists what is.")
        case HTTPException(status_code=HTTPStatus.METHOD_NOT_ALLOWED):
            return _of_method(request)
        case HTTPException(status_code=HTTPStatus.BAD_REQUEST):  # FastAPI's answer to what its JSON parser chokes on
            unread = FieldProblem("body", Code.VALUE, "cannot be read: it must be JSON, in UTF-8")
            return problems.InvalidRequest.of([unread])
        case OperationalError() | InterfaceError() | PoolTimeout():
            log.error("the database cannot be reached: %s", error)
            return problems.DatabaseGone(problems.DatabaseGone.example, headers={"Retry-After": "5"})
        case _:  # logged with its stack trace by the server that runs the app
            return problems.ServerError(problems.ServerError.example)


def render(path: str, problem: Problem) -> Response:
    """A problem as the response to a request for ``path``."""
    theirs = openai.applies(path)
    problem = openai.as_told(problem) if theirs else problem
    body = {"error": openai.error(problem)} if theirs else _details(path, problem)
    headers = {"Cache-Control": "no-store", **(problem.headers or {})}
    if (mine := request_id()) is not None:
        headers[HEADER] = mine  # the middleware is too far in for the answer to a mistake of ours
    # A lone surrogate, which JSON can carry into a field's name, is not text that can be sent back.
    content = json.dumps(body, ensure_ascii=False).encode(errors="replace")
    return Response(content, problem.status, headers, openai.MEDIA_TYPE if theirs else MEDIA_TYPE)


def _details(path: str, problem: Problem) -> dict[str, Any]:
    body = {
        "type": problem.uri(),
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": quote(path, errors="replace"),
        "errors": [{"field": each.field[:LONGEST_FIELD], "message": each.message} for each in problem.errors],
        **problem.members,
    }
    if (mine := request_id()) is not None:
        body["request_id"] = mine
    if openai.beside(path):
        body["error"] = openai.error(problem)
    return body


def _of_validation(found: Sequence[dict[str, Any]]) -> Problem:
    """What FastAPI found wrong with the path, the query or the body."""
    errors = [of_pydantic(_field(error["loc"]), error, kind="parameter here") for error in found]
    if any(error["loc"][0] == "path" for error in found):
        return problems.NoSuchPath("; ".join(f"{each.field} {each.message}" for each in errors), errors)
    return problems.InvalidRequest.of(errors)


def _field(location: Sequence[str | int]) -> str:
    """``("query", "limit")`` is ``limit``; the body as a whole, and a character of it, is ``body``."""
    inside = location[1:]
    if not inside or (location[0] == "body" and isinstance(inside[0], int)):
        return str(location[0])
    return ".".join(str(part) for part in inside)


def _of_method(request: Request) -> Problem:
    """405, with the methods of all routes at this path: each route knows only its own."""

    def taken(method: str) -> bool:
        scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    allowed = [method for method in METHODS if taken(method)] or ["GET", "HEAD"]  # else a file of the page
    detail = f"{quote(request.scope['path'])} takes {', '.join(allowed)}, not {request.method}."
    return problems.MethodNotAllowed(detail, headers={"Allow": ", ".join(allowed)})
