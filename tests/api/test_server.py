"""What is not about jobs: models, health, methods, unknown paths."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import Engine

from api.app import create_app
from store import workers
from store.catalog import Catalog
from tests.api.problem import problem
from tests.api.serving import environment, serving


def test_the_models(client: httpx.Client, catalog: Catalog) -> None:
    models = client.get("/v1/models").json()["models"]
    assert [model["id"] for model in models] == list(catalog)
    assert [model["default"] for model in models] == [True] + [False] * (len(catalog) - 1)
    emoji = models[0]
    assert emoji["limits"]["max_images"] == 8
    assert emoji["defaults"]["steps"] == 50
    for prompt in emoji["example_prompts"]:
        assert client.post("/v1/jobs", json={"prompt": prompt, **emoji["defaults"]}).status_code == 202


def test_alive(client: httpx.Client) -> None:
    response = client.get("/healthz")
    assert response.json()["status"] == "ok"
    assert response.headers["cache-control"] == "no-store"


def test_ready_only_with_a_worker(client: httpx.Client, valkey: redis.Redis) -> None:
    body = problem(client.get("/readyz"), 503, "not-ready")
    assert body["ready"] is False
    assert {name: check["ok"] for name, check in body["checks"].items()} == {
        "database": True,
        "broker": True,
        "workers": False,
        "pictures": True,
        "beat": False,
    }
    assert "underpaint worker" in body["detail"]
    assert "beat" not in body["detail"], "no request has to go elsewhere for that"
    workers.announce(valkey, "one", {}, 60)
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["ready"] is True
    assert "one" in response.json()["checks"]["workers"]["detail"]
    assert "underpaint beat" in response.json()["checks"]["beat"]["detail"]
    workers.announce(valkey, "clock", {}, 60, "beat")
    assert client.get("/readyz").json()["checks"]["beat"] == {"ok": True, "detail": "Beat: clock."}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", "GET, HEAD, POST"),
        ("PATCH", "/v1/jobs/8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e", "GET, HEAD, DELETE"),
        ("GET", "/v1/jobs/8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e/cancel", "POST"),
        ("HEAD", "/v1/jobs/8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e/cancel", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/v1/models", "GET, HEAD"),
        ("TRACE", "/v1/models", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_take(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    if method != "HEAD":
        assert f"takes {allowed}, not {method}" in problem(response, 405, "method-not-allowed")["detail"]


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v1/jobs/", "/%00", "/%ff", "/../etc/passwd", "/é x"])
def test_a_path_where_nothing_is(client: httpx.Client, path: str) -> None:
    assert "/docs" in problem(client.get(path), 404, "no-such-path")["detail"]


def test_head(client: httpx.Client) -> None:
    head, get = client.head("/v1/models"), client.get("/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_links_go_where_the_request_came_to(client: httpx.Client) -> None:
    response = client.post("/v1/jobs", json={"prompt": "x"}, headers={"Host": "localhost:81"})
    assert response.headers["location"].startswith("http://localhost:81/v1/jobs/")
    assert response.json()["links"]["cancel"].startswith("http://localhost:81/v1/jobs/")


def test_settings_of_the_server(postgres_url: str, redis_url: str, database: Engine, tmp_path: Path) -> None:
    settings = {"UNDERPAINT_PUBLIC_URL": "https://pictures.example/api/", "UNDERPAINT_MAX_BODY_BYTES": "25"}
    stores = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path / "log", **settings, **stores) as address:
        response = httpx.post(f"{address}/v1/jobs", json={"prompt": "red heart"}, trust_env=False)
        assert response.headers["location"].startswith("https://pictures.example/api/v1/jobs/")
        response = httpx.post(f"{address}/v1/jobs", json={"prompt": "two red hearts"}, trust_env=False)
        assert "at most 25 bytes" in problem(response, 413, "body-too-large")["detail"]


def test_the_page_is_served_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("<title>Underpaint</title>")
    (tmp_path / "page.css").write_text("body {}")
    monkeypatch.setattr("api.surfaces.page.PAGE", tmp_path)
    transport = httpx.ASGITransport(create_app())

    async def ask(method: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, headers={"Accept": "text/html"})

    page = asyncio.run(ask("GET", "/"))
    assert (page.text, page.headers["content-type"]) == ("<title>Underpaint</title>", "text/html; charset=utf-8")
    assert asyncio.run(ask("GET", "/page.css")).headers["content-type"] == "text/css; charset=utf-8"
    for path in ("/page.js", "/v1/nothing", "/../pyproject.toml", "/%2e%2e/pyproject.toml"):
        problem(asyncio.run(ask("GET", path)), 404, "no-such-path")
    refused = asyncio.run(ask("POST", "/"))
    problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "GET, HEAD"


def test_the_documentation_is_served(client: httpx.Client) -> None:
    reference = client.get("/docs")
    assert "openapi.json" in reference.text
    assert "//" not in re.sub("<!.*?>", "", reference.text)  # nothing from another server
    assert client.get("/docs/swagger-ui/swagger-ui-bundle.js").status_code == 200
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/js/main.js", "/nothing", "/openapi.json"])
def test_browsers_are_told_what_they_may_do(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "max-age" not in headers["cache-control"]


def test_the_web_process_never_loads_torch() -> None:
    heavy = {"torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "sampler"}
    code = (
        "import sys; from api.app import create_app; create_app().openapi();"
        f"loaded = {heavy!r} & set(sys.modules); sys.exit(str(loaded) if loaded else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
