"""The OpenAPI document: that it is complete, and that the server conforms to it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
import redis
from openai.types.image_generate_params import ImageGenerateParamsBase
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from contract.fields import Generation, Handling
from store import wakeups, workers
from store.saves import LeaseLost
from store.tables import Job
from tests.api.serving import environment
from tests.api.worker import Worker

HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
PICTURE = "/v1/jobs/{job_id}/images/{image}/iterates/{iterate}"
REFINE = "/v1/jobs/{job_id}/refine"
EVENTS = "/v1/jobs/{job_id}/events"


@pytest.fixture
def document(client: httpx.Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_is_explained(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids)) == 24
    for name, operation in operations(document):
        assert operation["summary"], name
        assert len(operation["description"]) > 40, name
        assert len(operation["tags"]) == 1, name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (name, parameter["name"])
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            if status >= "400":
                kind = "application/json" if "/v1/images/" in name else "application/problem+json"
                assert list(response["content"]) == [kind], (name, status)
                assert response["content"][kind]["examples"], (name, status)
            elif (
                "application/json" in response.get("content", {})
                and "/v1/" in name
                and not name.endswith(("/cancel", "/accept"))
            ):
                assert response["content"]["application/json"]["example"], (name, status)


def test_every_field_that_is_sent_is_typed(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if name != "Problem":
            assert schema["properties"], name


def test_the_request_is_that_of_the_store(document: dict[str, Any], client: httpx.Client) -> None:
    request = document["components"]["schemas"]["JobRequest"]
    assert request["properties"].keys() == {*Generation.model_fields, *Handling.model_fields}
    assert all(field["description"] for field in request["properties"].values())
    examples = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        assert client.post("/v1/jobs", json=example["value"]).status_code == 202
    told = {
        name: re.search(r"\*Default:\* `(.*)`\.$", field["description"])
        for name, field in request["properties"].items()
    }
    defaults = {name: json.loads(default[1]) for name, default in told.items() if default}
    assert defaults["steps"] == 50
    job = client.post("/v1/jobs", json={"prompt": "x"}).json()
    taken = {**job, **job["request"]}
    assert {name: taken[name] for name in defaults} == defaults


def test_openai_s_request_has_what_the_client_sends(document: dict[str, Any]) -> None:
    request = document["components"]["schemas"]["ImageGenerationRequest"]["properties"]
    assert all(field["description"] for field in request.values())
    svg_and_gif = {"svg", "frame_count", "frame_duration_ms"}
    assert request.keys() >= ImageGenerateParamsBase.__annotations__.keys() - svg_and_gif | {"stream"}
    assert request.keys() >= Generation.model_fields.keys() - {"images"}


def test_openai_s_route_documents_every_problem_of_submitting_a_job(document: dict[str, Any]) -> None:
    def documented(path: str) -> set[tuple[str, str]]:
        found = document["paths"][path]["post"]["responses"].items()
        errors = {status: each["content"].values() for status, each in found if status >= "400"}
        return {(status, slug) for status, contents in errors.items() for each in contents for slug in each["examples"]}

    # An invalid request is a bad request in OpenAI's shape.
    submitting = documented("/v1/jobs") - {("422", "invalid-request")} | {("400", "bad-request")}
    assert ("429", "queue-full") in submitting
    assert submitting <= documented("/v1/images/generations")


@pytest.fixture
def busy(worker: Worker, database: Engine, valkey: redis.Redis) -> Iterator[None]:
    """A worker that runs all jobs while the test lasts."""
    stop = Event()

    def work() -> None:
        while not stop.wait(0.02):
            with Session(database) as session:
                queued = session.scalars(select(Job).where(Job.state == "queued")).all()
            for job in queued:
                with suppress(AssertionError, LeaseLost):  # it was canceled meanwhile
                    exact = job.generation["method"] == "serial"
                    worker.run(str(job.id), job.generation["images"], "exact" if exact else "converged")
                wakeups.publish(valkey, job.id, 10**6)  # who waits need not wait for the next poll

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        yield
        stop.set()
        working.result()


@pytest.mark.slow
def test_schemathesis_finds_nothing(
    holder: Callable[..., httpx.Client], worker: Worker, busy: None, valkey: redis.Redis, tmp_path: Path
) -> None:
    workers.announce(valkey, "one", {}, 300)
    # With a key: then it also sees that nothing is answered without one.
    client = holder("schemathesis")
    job, draft = [client.post("/v1/jobs", json={"prompt": "red heart"}).json()["id"] for _ in range(2)]
    while any(client.get(f"/v1/jobs/{each}").json()["state"] != "succeeded" for each in (job, draft)):
        pass
    # Only a worker makes pictures and ends jobs: these are there.
    parameters = {"path.job_id": job, "path.image": 0, "path.iterate": "latest"}
    (tmp_path / "schemathesis.toml").write_text(
        f"""
        hooks = {json.dumps(str(HOOKS))}
        [generation]
        allow-extra-parameters = false  # queries may have parameters that nobody reads
        [[operations]]
        include-name = "GET {PICTURE}"
        [operations.parameters]
        {"".join(f"{json.dumps(name)} = {json.dumps(value)}" + chr(10) for name, value in parameters.items())}
        [[operations]]
        include-name = "GET {EVENTS}"
        [operations.parameters]
        "path.job_id" = {json.dumps(job)}
        [[operations]]
        include-name = "POST {REFINE}"
        [operations.parameters]
        "path.job_id" = {json.dumps(draft)}
        """
    )
    run = ["run", f"{client.base_url.join('/openapi.json')}", "--checks", "all"]
    run += ["--header", f"Authorization: {client.headers['Authorization']}"]
    # Which bytes are a picture the schema cannot express: tests/api/test_uploads.py has them.
    run += ["--exclude-operation-id", "upload_picture"]
    # A scenario may delete the jobs above, which others ask for by the configuration: they are not what was just made.
    run += ["--exclude-checks", "ensure_resource_availability"]
    amount = ["--max-examples", "4", "--max-failures", "10"]
    repeatable = ["--generation-deterministic", "--seed", "1"]
    ran = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *run, *amount, *repeatable],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
