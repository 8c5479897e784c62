"""Exceptions become problems, and the surface that owns the path makes a response of them."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from api import problems
from api.live import sse
from api.problems import Problem
from api.surface import Surfaces
from contract.problems import Code, FieldProblem, InvalidFields, of_pydantic
from store.outages import DATABASE_AWAY, is_disk_full, reason
from store.pictures import PicturesUnavailable

RETRY = {"Retry-After": "5"}
DISK_FULL = "Its disk is full, so that nothing can be saved: the operator has to make room."
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

log = logging.getLogger(__name__)


def register(app: FastAPI, surfaces: Surfaces) -> None:
    """Answer every exception that a request of ``app`` ends in as a problem."""

    async def answer(request: Request, error: Exception) -> Response:
        problem = problem_of(request, error)
        gone = isinstance(problem, problems.DatabaseGone | problems.PicturesGone)
        if gone and sse.is_wanted(request):
            return sse.come_back()
        return surfaces.render(request.scope["path"], problem)

    known = (HTTPException, RequestValidationError, InvalidFields, PicturesUnavailable, *DATABASE_AWAY)
    for kind in (*known, Exception):
        app.add_exception_handler(kind, answer)


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
        case HTTPException(status_code=HTTPStatus.BAD_REQUEST):  # FastAPI could not read the body as text
            unread = FieldProblem("body", Code.VALUE, "cannot be read: it must be JSON, in UTF-8")
            return problems.InvalidRequest.of([unread])
        case PicturesUnavailable():
            log.error("the store of pictures cannot be reached: %s", error)
            return problems.PicturesGone(problems.PicturesGone.example, headers=RETRY)
        case _ if isinstance(error, DATABASE_AWAY):
            if is_disk_full(error):
                log.error("the disk of the database is full: %s", reason(error))
                request.state.services.disk.found_full()
                return problems.DatabaseGone(f"{DISK_FULL} {problems.DatabaseGone.example}", headers=RETRY)
            log.error("the database cannot be reached: %s", reason(error))
            return problems.DatabaseGone(problems.DatabaseGone.example, headers=RETRY)
        case _:  # uvicorn logs it with its stack trace
            return problems.ServerError(problems.ServerError.example)


def _of_validation(found: Sequence[dict[str, Any]]) -> Problem:
    """What FastAPI found wrong with the path, the query or the body."""
    errors = [of_pydantic(_field(error["loc"]), error, kind="parameter here") for error in found]
    if any(error["loc"][0] == "path" for error in found):
        return problems.NoSuchPath("; ".join(f"{each.field} {each.message}" for each in errors), errors)
    return problems.InvalidRequest.of(errors)


def _field(location: Sequence[str | int]) -> str:
    """``("query", "limit")`` is ``limit``; the body as a whole, or a character of it, is ``body``."""
    inside = location[1:]
    if not inside or (location[0] == "body" and isinstance(inside[0], int)):
        return str(location[0])
    return ".".join(str(part) for part in inside)


def _of_method(request: Request) -> Problem:
    """405, with the methods of all routes at this path: each route knows only its own."""

    def is_routed(method: str) -> bool:
        scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    allowed = [method for method in METHODS if is_routed(method)] or ["GET", "HEAD"]  # else a file of the page
    detail = f"{quote(request.scope['path'])} takes {', '.join(allowed)}, not {request.method}."
    return problems.MethodNotAllowed(detail, headers={"Allow": ", ".join(allowed)})
