"""A surface is one API that this server speaks: its routes, and how it differs from the others.

`api.surfaces` has the list of them. Everything that treats paths differently asks the surface that owns the path.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from api.http import problem_json
from api.problems import Problem
from store.catalog import Catalog

# An API response is not a page: nothing in it may run, and no other site may frame it (Content Security Policy 3).
NOT_A_PAGE = "default-src 'none'; frame-ancestors 'none'"


def private_headers(path: str, headers: MutableHeaders) -> None:
    """Keep the response out of caches that others can read: shared caches, and that of a browser whose user changes the
    API key."""
    cache_control = headers.get("Cache-Control", "no-store")
    if "private" not in cache_control and "no-store" not in cache_control:
        cache_control = f"private, {cache_control}"
    headers["Cache-Control"] = cache_control
    headers["Content-Security-Policy"] = NOT_A_PAGE
    headers.add_vary_header("Authorization")


def _document_nothing(document: dict[str, Any], catalog: Catalog) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Surface:
    """One API that this server speaks.

    Attributes:
        name: for people.
        paths: the paths that it owns. One that ends with ``/`` stands for everything below it.
        add_routes: adds its routes to the app.
        render: makes the response to a request for a path that ended in a problem.
        complete_headers: completes the headers of each response to a request for a path.
        tags: its tags in the OpenAPI document.
        document: completes the OpenAPI document that FastAPI makes of the routes.
        running: what it needs while the app runs.
        pictures_in: how many pictures the body of a request for a path may have, inside of the limit for others.
        max_body_bytes: the limit for its request bodies; None: that of the settings.
    """

    name: str
    paths: tuple[str, ...]
    add_routes: Callable[[FastAPI], None]
    render: Callable[[str, Problem], Response] = problem_json.render
    complete_headers: Callable[[str, MutableHeaders], None] = private_headers
    tags: tuple[Mapping[str, str], ...] = ()
    document: Callable[[dict[str, Any], Catalog], None] = _document_nothing
    running: Callable[[FastAPI], AbstractAsyncContextManager[None]] = lambda app: nullcontext()
    pictures_in: Mapping[str, int] = field(default_factory=dict[str, int])
    max_body_bytes: int | None = None

    def match(self, path: str) -> int:
        """How many characters of ``path`` the surface names; -1 if it does not own the path."""
        owned = (own for own in self.paths if path == own or (own.endswith("/") and path.startswith(own)))
        return max(map(len, owned), default=-1)


class Surfaces:
    """All surfaces of a server, in the order of the OpenAPI document."""

    def __init__(self, *surfaces: Surface) -> None:
        self._surfaces = surfaces

    def __iter__(self) -> Iterator[Surface]:
        return iter(self._surfaces)

    def of(self, path: str) -> Surface:
        """The surface that owns ``path``: the one that names the longest part of it."""
        return max(self._surfaces, key=lambda surface: surface.match(path))

    def render(self, path: str, problem: Problem) -> Response:
        """The response to a request for ``path`` that ended in a problem."""
        return self.of(path).render(path, problem)
