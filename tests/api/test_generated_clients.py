"""A client that openapi-python-client makes of the server's own document, used on the server."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from tests.api.serving import environment, serving
from tests.api.worker import Worker


def test_a_generated_client_submits_a_job(
    client: httpx.Client, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openapi_python_client", reason="not among the tools: it takes an older typer")
    file = tmp_path / "openapi.json"
    file.write_text(client.get("/openapi.json").text)
    ran = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(file), "--meta", "none"],
        cwd=tmp_path,
        env=environment(PYTHONWARNINGS="ignore"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # It knows no pictures, and leaves their responses to their reader.
    assert (ran.stdout + ran.stderr).count("WARNING") == 1
    monkeypatch.syspath_prepend(tmp_path)
    made: Any = importlib.import_module("underpaint_client")
    models: Any = importlib.import_module("underpaint_client.models")
    submit: Any = importlib.import_module("underpaint_client.api.jobs.submit_job")
    picture: Any = importlib.import_module("underpaint_client.api.pictures.get_picture")
    # A server without keys needs no client with one, and only the prompt is required.
    with made.Client(base_url=str(client.base_url)) as generated:
        job = submit.sync(client=generated, body=models.JobRequest(prompt="red heart"))
        assert (job.state.value, job.request.steps) == ("queued", 50)
        worker.run(str(job.id))
        answer = picture.sync_detailed(client=generated, job_id=job.id, image=0, iterate=2)
        assert answer.content.startswith(b"\x89PNG")


def test_no_field_of_a_request_has_a_default_that_generators_would_require() -> None:
    document = create_app().openapi()
    for name in ("JobRequest", "ImageGenerationRequest", "RefineRequest"):
        for field, schema in document["components"]["schemas"][name]["properties"].items():
            assert "default" not in schema, (name, field)


def test_the_document_tells_whether_keys_are_needed(client: httpx.Client, holder: Callable[..., httpx.Client]) -> None:
    def security(asked: httpx.Client) -> Any:
        return asked.get("/openapi.json").json()["paths"]["/v1/jobs"]["post"]["security"]

    assert security(client) == [{}, {"key": []}]
    keyed = holder("one")
    assert keyed.get("/v1/jobs").status_code == 200  # so it has read its keys
    assert security(keyed) == [{"key": []}]
    assert client.get("/openapi.json").json()["servers"] == [{"url": "."}]


def test_the_address_of_the_server_may_have_a_path(
    postgres_url: str, redis_url: str, tmp_path: Path, worker: Worker
) -> None:
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    settings["UNDERPAINT_PUBLIC_URL"] = "https://example.org/paint/"
    with serving(tmp_path / "log", **settings) as address, httpx.Client(trust_env=False, timeout=20) as client:
        # A proxy may pass the path on, or not.
        for base in (address, f"{address}/paint"):
            assert client.get(f"{base}/openapi.json").json()["servers"] == [{"url": "https://example.org/paint"}]
            job = client.post(f"{base}/v1/jobs", json={"prompt": "red heart"})
            assert job.headers["location"] == f"https://example.org/paint/v1/jobs/{job.json()['id']}"
            worker.run(job.json()["id"])
            for path in ("/", "/docs", "/js/main.js", "/sdapi/v1/options", f"/v1/jobs/{job.json()['id']}/events"):
                assert client.get(f"{base}{path}").status_code == 200, path
            missing = client.get(f"{base}/v1/nothing")
            assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
        moved = client.get(f"{address}/paint")
        assert (moved.status_code, moved.headers["location"]) == (307, "/paint/")
        assert client.get(f"{address}/painting/").status_code == 404
