"""Reading jobs: one, its versions, and lists of them."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.problem import faults, problem
from tests.api.worker import Worker, png

Submit = Callable[..., str]


def read(client: httpx.Client, job: str) -> dict[str, Any]:
    response = client.get(f"/v1/jobs/{job}")
    assert response.status_code == 200
    return response.json()


def test_a_job_from_queue_to_success(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit(images=2)
    queued = read(client, job)
    assert (queued["state"], queued["queue_position"], queued["started_at"]) == ("queued", 1, None)
    assert queued["images"][1]["iterate"] is None

    worker.claim(job)
    worker.start(job, 1)
    worker.save(job, 0, png(), image=1)
    worker.save(job, 1, png(1), image=1)
    running = read(client, job)
    assert (running["state"], running["queue_position"]) == ("running", None)
    assert running["started_at"] > running["created_at"]
    image = running["images"][1]
    figures = {"iterate": 1, "residual": 0.1, "error_estimate": 0.02, "rounds": 14, "evaluations": 50}
    plan = {"method": "srds", "blocks": 7, "predicted_rounds": 18, "predicted_evaluations": 96}
    assert {name: image[name] for name in (*figures, *plan)} == {**figures, **plan}
    assert image["links"]["final"] is None
    assert client.get(image["links"]["latest"]).content == png(1)

    for number in (0, 1):
        worker.save(job, 2, png(number + 2), image=number, final=True)
    worker.finish(job, images=2)
    done = read(client, job)
    assert (done["state"], done["stopped"], done["error"]) == ("succeeded", "converged", None)
    assert done["finished_at"] > done["started_at"]
    assert [client.get(image["links"]["final"]).content for image in done["images"]] == [png(2), png(3)]
    assert len(client.get(done["links"]["iterates"]).json()["iterates"]) == 4


def test_a_failed_job_says_why(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit()
    worker.claim(job)
    worker.fail(job, "the state of the sample is not finite")
    assert read(client, job)["error"] == "the state of the sample is not finite"
    assert read(client, job)["images"][0]["links"]["final"] is None


def test_queue_positions(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    jobs = [submit() for _ in range(3)]
    worker.claim(jobs[0])
    assert [read(client, job)["queue_position"] for job in jobs] == [None, 1, 2]
    assert [job["queue_position"] for job in client.get("/v1/jobs").json()["jobs"]] == [2, 1, None]


def test_the_etag_changes_with_the_job(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    first, job = submit(), submit()
    seen: list[str] = []

    def new_version() -> None:
        response = client.get(f"/v1/jobs/{job}")
        etag = response.headers["etag"]
        assert etag not in seen
        seen.append(etag)
        for known in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
            again = client.get(f"/v1/jobs/{job}", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        if len(seen) > 1:
            assert client.get(f"/v1/jobs/{job}", headers={"If-None-Match": seen[-2]}).status_code == 200

    new_version()
    worker.claim(first)  # only the place in the queue changes
    new_version()
    worker.claim(job)
    new_version()
    worker.start(job)
    new_version()
    worker.save(job, 0, png())
    new_version()
    worker.finish(job)
    new_version()
    assert client.get(f"/v1/jobs/{job}").headers["cache-control"] == "private, no-cache"


def test_a_job_that_is_not_there(client: httpx.Client) -> None:
    job = uuid4()
    for method, path in [("GET", ""), ("GET", "/iterates"), ("POST", "/cancel"), ("DELETE", "")]:
        body = problem(client.request(method, f"/v1/jobs/{job}{path}"), 404, "no-such-job")
        assert str(job) in body["detail"]
        assert body["instance"] == f"/v1/jobs/{job}{path}"


def test_an_id_that_is_none(client: httpx.Client) -> None:
    body = problem(client.get("/v1/jobs/17"), 404, "no-such-path")
    assert [error["field"] for error in body["errors"]] == ["job_id"]


def pages(client: httpx.Client, **query: Any) -> list[list[str]]:
    """The ids on every page, following next_cursor, and the Link header, which must agree."""
    found: list[list[str]] = []
    url: str | httpx.URL | None = httpx.URL("/v1/jobs", params=query)
    while url:
        response = client.get(url)
        body = response.json()
        found.append([job["id"] for job in body["jobs"]])
        url = response.links.get("next", {}).get("url")
        assert (httpx.URL(url).params["cursor"] if url else None) == body["next_cursor"]
    return found


def test_pages_list_every_job_once_newest_first(client: httpx.Client, submit: Submit) -> None:
    jobs = [submit() for _ in range(7)][::-1]
    assert pages(client, limit=3) == [jobs[:3], jobs[3:6], jobs[6:]]
    assert pages(client, limit=7) == [jobs]
    assert pages(client) == [jobs]


def test_no_jobs(client: httpx.Client) -> None:
    assert client.get("/v1/jobs").json() == {"jobs": [], "next_cursor": None}


def test_new_jobs_do_not_shift_pages(client: httpx.Client, submit: Submit) -> None:
    jobs = [submit() for _ in range(4)][::-1]
    first = client.get("/v1/jobs", params={"limit": 2}).json()
    submit()
    second = client.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == jobs
    assert second["next_cursor"] is None


def test_a_page_goes_on_where_a_deleted_job_was(client: httpx.Client, submit: Submit) -> None:
    jobs = [submit() for _ in range(3)][::-1]
    cursor = client.get("/v1/jobs", params={"limit": 1}).json()["next_cursor"]
    client.post(f"/v1/jobs/{jobs[0]}/cancel")
    assert client.delete(f"/v1/jobs/{jobs[0]}").status_code == 204
    page = client.get("/v1/jobs", params={"cursor": cursor}).json()
    assert [job["id"] for job in page["jobs"]] == jobs[1:]


def test_filters_hold_across_pages(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    jobs = [submit() for _ in range(6)][::-1]
    for job in jobs[:3]:
        worker.claim(job)
    worker.fail(jobs[0], "no")
    assert pages(client, state="queued", limit=2) == [jobs[3:5], jobs[5:]]
    assert pages(client, state=["failed", "running"], limit=2) == [jobs[:2], jobs[2:3]]
    assert pages(client, model="emoji", state="failed") == [jobs[:1]]
    assert pages(client, model="another") == [[]]
    assert pages(client, state="canceled") == [[]]


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ({"limit": 0}, "limit", "greater than or equal to 1"),
        ({"limit": 101}, "limit", "less than or equal to 100"),
        ({"limit": "ten"}, "limit", "integer"),
        ({"state": "done"}, "state.0", "'queued'"),
        ({"model": "\0"}, "model", "NUL"),
        ({"page": 2}, "page", "leave it out"),
        *(({"cursor": cursor}, "cursor", "next_cursor") for cursor in ["", "2", "x" * 32, "!" * 32, "a" * 300, "é"]),
    ],
)
def test_bad_queries(client: httpx.Client, query: dict[str, Any], field: str, message: str) -> None:
    found = faults(client.get("/v1/jobs", params=query))
    assert list(found) == [field]
    assert message in found[field]


def test_iterates_are_listed_with_their_figures(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit(previews=False)
    path = f"/v1/jobs/{job}/iterates"
    empty = client.get(path)
    assert empty.json() == {"iterates": []}
    worker.claim(job)
    worker.save(job, 0, None)
    worker.save(job, 1, png(), final=True)
    response = client.get(path, headers={"If-None-Match": empty.headers["etag"]})
    rough, final = response.json()["iterates"]
    assert (rough["iterate"], rough["residual"], rough["rounds"], rough["evaluations"]) == (0, None, 10, 10)
    assert (rough["picture"], rough["final"]) == (None, False)
    assert (final["iterate"], final["residual"], final["final"]) == (1, 0.1, True)
    assert (rough["error_estimate"], final["error_estimate"]) == (None, 0.02)
    assert 0 <= rough["elapsed"] <= final["elapsed"]
    assert client.get(final["picture"]).content == png()
    again = client.get(path, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
