"""A job is there for the key that submitted it, and for nobody else, by any route."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.app import create_app
from api.http import problem_json
from api.surfaces import SURFACES
from tests.api.problem import problem
from tests.api.sse import parse
from tests.api.worker import Worker

Holder = Callable[..., httpx.Client]

# The surfaces that serve anybody.
OPEN = {"operations", "page"}
VALUES = {"image": "0", "iterate": "latest"}
OTHER = "00000000-0000-4000-8000-000000000000"  # for ids of what belongs to a job


def operations() -> Iterator[tuple[str, str]]:
    """Method and path of everything that needs a key: a new route of any surface cannot be forgotten here."""
    for path, methods in create_app().openapi()["paths"].items():
        if SURFACES.of(path).name not in OPEN:
            yield from ((method.upper(), path) for method in methods)


ALL = sorted(operations())
OF_A_JOB = [(method, path) for method, path in ALL if "{job_id}" in path]


def filled(path: str, job: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: {"job_id": job, **VALUES}.get(found[1], OTHER), path)


def ask(client: httpx.Client, method: str, path: str, **how: Any) -> httpx.Response:
    body = {"json": {}} if method == "POST" and path.endswith("/refine") else {}
    return client.request(method, path, **body, **how)


def same(response: httpx.Response, job: str) -> tuple[int, str, dict[str, str]]:
    """A response without the id of the job and the headers that differ in every response."""
    own = {"date", "content-length", "ratelimit", "x-request-id"}
    headers = {name: value for name, value in response.headers.items() if name not in own}
    return response.status_code, re.sub(r'"request_id":\s*"[^"]*"', "", response.text.replace(job, "JOB")), headers


def submitted(client: httpx.Client) -> str:
    response = client.post("/v1/jobs", json={"prompt": "red heart", "seed": 7})
    assert response.status_code == 202, response.text
    return response.json()["id"]


def test_the_document_has_every_route() -> None:
    app = create_app()
    found = {path for path in paths(app.routes) if SURFACES.of(path).name not in OPEN}
    assert found == {path for path in app.openapi()["paths"] if SURFACES.of(path).name not in OPEN}
    assert len(OF_A_JOB) >= 8


def paths(routes: Any) -> Iterator[str]:
    for route in routes:
        if (path := getattr(route, "path", None)) and getattr(route, "include_in_schema", True):
            yield path
        yield from paths(getattr(getattr(route, "original_router", None), "routes", ()))


@pytest.mark.parametrize(("method", "path"), OF_A_JOB)
@pytest.mark.parametrize("state", ["queued", "succeeded"])
def test_somebody_elses_job_is_not_there(holder: Holder, worker: Worker, method: str, path: str, state: str) -> None:
    mine, theirs = holder("mine"), holder("theirs")
    job, none = submitted(theirs), str(uuid4())
    if state == "succeeded":
        worker.run(job)
    foreign = ask(mine, method, filled(path, job))
    assert problem(foreign, 404, "no-such-job")["detail"].startswith(f"There is no job {job}")
    assert same(foreign, job) == same(ask(mine, method, filled(path, none)), none)
    # Nothing of this has touched it.
    assert theirs.get(f"/v1/jobs/{job}").json()["state"] == state
    assert theirs.get(f"/v1/jobs/{job}").json()["cancel_requested"] is False


@pytest.mark.parametrize(("method", "path"), OF_A_JOB)
def test_neither_queries_nor_bodies_tell_of_it(holder: Holder, method: str, path: str) -> None:
    mine, theirs = holder("mine"), holder("theirs")
    job, none = submitted(theirs), str(uuid4())
    hows: list[dict[str, Any]] = [
        {"params": {"wait": "1"}},
        {"params": {"wait": "x", "last_event_id": "x"}},
        {"headers": {"If-None-Match": "*", "Last-Event-ID": "1"}},
        {"headers": {"Content-Type": "text/plain"}, "content": b"x"},
        {"json": {"tolerance": -1}},
    ]
    for how in hows:
        foreign, absent = (mine.request(method, filled(path, each), **how) for each in (job, none))
        assert same(foreign, job) == same(absent, none)
        assert foreign.status_code in (404, 422)


@pytest.mark.parametrize(("method", "path"), ALL)
def test_nothing_is_served_without_a_key(holder: Holder, keyed_address: str, method: str, path: str) -> None:
    job = submitted(holder("mine"))
    with httpx.Client(base_url=keyed_address, trust_env=False) as nobody:
        for headers in ({}, {"Authorization": "Bearer up_made-up"}, {"Authorization": "Basic dTpw"}):
            response = ask(nobody, method, filled(path, job), headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith('Bearer realm="underpaint"')
            if SURFACES.of(path).render is problem_json.render:  # other surfaces have errors of another shape
                problem(response, 401, "unauthorized")


def test_one_of_several_sees_its_own_by_every_route(holder: Holder, worker: Worker) -> None:
    mine, theirs, admin = holder("mine"), holder("theirs"), holder("admin", "admin")
    job, other = submitted(mine), submitted(theirs)
    worker.run(job)
    assert [each["id"] for each in mine.get("/v1/jobs").json()["jobs"]] == [job]
    assert [each["id"] for each in theirs.get("/v1/jobs").json()["jobs"]] == [other]
    assert [each["id"] for each in admin.get("/v1/jobs").json()["jobs"]] == [other, job]
    for client in (mine, admin):
        for path in ("", "/iterates", "/events", "/images/0/iterates/latest", "/images/0/iterates/1"):
            assert client.get(f"/v1/jobs/{job}{path}").status_code == 200
        events = list(parse(client.get(f"/v1/jobs/{job}/events").text.split("\n")))
        assert events[-1].kind == "done"
        assert client.post(f"/v1/jobs/{job}/cancel").json()["state"] == "succeeded"
    assert admin.post(f"/v1/jobs/{other}/cancel").json()["state"] == "canceled"
    assert mine.delete(f"/v1/jobs/{job}").status_code == 204
    assert admin.delete(f"/v1/jobs/{other}").status_code == 204


def test_pages_go_on_among_ones_own(holder: Holder) -> None:
    mine, theirs = holder("mine"), holder("theirs")
    jobs: list[str] = []
    for _ in range(3):
        jobs.insert(0, submitted(mine))
        submitted(theirs)
    first = mine.get("/v1/jobs", params={"limit": 2}).json()
    second = mine.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == jobs
    assert second["next_cursor"] is None


def test_jobs_from_before_the_first_key_are_the_admins(
    client: httpx.Client, submit: Callable[..., str], holder: Holder
) -> None:
    job = submit()
    mine, admin = holder("mine"), holder("admin", "admin")
    problem(mine.get(f"/v1/jobs/{job}"), 404, "no-such-job")
    assert mine.get("/v1/jobs").json()["jobs"] == []
    assert admin.get(f"/v1/jobs/{job}").status_code == 200
