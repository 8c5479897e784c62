"""What a surface decides: who answers for a path, and how its responses differ."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, Response

from api.app import create_app
from api.problems import Problem
from api.surface import Surface, Surfaces
from api.surfaces import SURFACES, page
from store.catalog import Catalog
from tests.api.problem import problem


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/jobs", "native"),
        ("/v1/nothing", "native"),
        ("/v1/modelsx", "native"),
        ("/v1/images", "native"),
        ("/v1/images/generations", "openai"),
        ("/v1/images/nothing", "openai"),
        ("/sdapi/v1/txt2img", "sdapi"),
        ("/v1/models", "models"),
        ("/v1/models/emoji", "models"),
        ("/healthz", "operations"),
        ("/healthz/", "page"),
        ("/", "page"),
        ("/v1", "page"),
        ("/docs", "page"),
    ],
)
def test_the_surface_that_names_most_of_a_path_owns_it(path: str, name: str) -> None:
    assert SURFACES.of(path).name == name


router = APIRouter(tags=["toy"])


@router.post("/toy/echo")
async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


def document(made: dict[str, Any], catalog: Catalog) -> None:
    made["components"]["schemas"]["Toy"] = {"enum": list(catalog)}


def shout(path: str, problem: Problem) -> Response:
    return PlainTextResponse(f"{path}: {problem.slug.upper()}", problem.status)


def colour(path: str, headers: MutableHeaders) -> None:
    headers["X-Toy"] = path


TOY: dict[str, Any] = {"name": "toy", "paths": ("/toy/",), "add_routes": lambda app: app.include_router(router)}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> FastAPI:
    """The app with one surface more."""
    monkeypatch.setattr("api.app.SURFACES", Surfaces(*SURFACES, Surface(**TOY, **request.param)))
    return create_app()


def send(app: FastAPI, method: str, path: str, content: bytes = b"") -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, content=content)

    return asyncio.run(run())


OWN = {
    "render": shout,
    "complete_headers": colour,
    "tags": ({"name": "toy", "description": "A toy."},),
    "document": document,
    "max_body_bytes": 4,
}


@pytest.mark.parametrize("app", [OWN], indirect=True)
def test_a_surface_has_its_own_ways(app: FastAPI, catalog: Catalog) -> None:
    answer = send(app, "POST", "/toy/echo", b"four")
    assert (answer.status_code, answer.text, answer.headers["x-toy"]) == (200, "four", "/toy/echo")
    assert "content-security-policy" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    for method, path, content, status, text in [
        ("POST", "/toy/echo", b"fives", 413, "/toy/echo: BODY-TOO-LARGE"),
        ("GET", "/toy/none", b"", 404, "/toy/none: NO-SUCH-PATH"),
        ("GET", "/toy/echo", b"", 405, "/toy/echo: METHOD-NOT-ALLOWED"),
        ("GET", f"/toy/{'x' * 9000}", b"", 414, f"/toy/{'x' * 95}: PATH-TOO-LONG"),
    ]:
        answer = send(app, method, path, content)
        assert (answer.status_code, answer.text) == (status, text)
    made = app.openapi()
    assert made["tags"][-1] == {"name": "toy", "description": "A toy."}
    assert made["components"]["schemas"]["Toy"] == {"enum": list(catalog)}
    problem(send(app, "GET", "/v1/none"), 404, "no-such-path")


@pytest.mark.parametrize("app", [{}], indirect=True)
def test_what_a_surface_leaves_out_is_that_of_an_api(app: FastAPI) -> None:
    answer = send(app, "POST", "/toy/echo", b"x" * 1000)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Authorization"
    problem(send(app, "GET", "/toy/none"), 404, "no-such-path")


@pytest.mark.parametrize(("path", "reference"), [(page.REFERENCE, True), ("/", False), ("/js/main.js", False)])
def test_only_the_reference_may_build_html_from_strings_and_load_data_urls(path: str, reference: bool) -> None:
    headers = MutableHeaders()
    page.browser_headers(path, headers)
    policy = headers["Content-Security-Policy"].split("; ")
    assert ("img-src 'self' data:" in policy) == reference
    assert ("require-trusted-types-for 'script'" not in policy) == reference
    assert headers["Cache-Control"] == "no-cache"
