"""What operators see of a real API, worker and beat: metrics that agree with the jobs, and logs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from store.tables import Base
from tests.service.observed import PARTS, Processes, running

PROMPT = "an unspeakable secret"
REQUEST = "the-request-of-a-test"


@pytest.fixture(scope="module")
def processes(
    engine: Engine, postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Processes]:
    with engine.begin() as connection:
        connection.execute(text(f"truncate {', '.join(table.name for table in Base.metadata.sorted_tables)}"))
    urls = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with running(tmp_path_factory.mktemp("observed"), **urls) as made:
        yield made


@pytest.fixture(scope="module")
def job(processes: Processes) -> dict[str, Any]:
    """A job with two images that has succeeded, and was followed by a stream to its end."""
    request = {"prompt": PROMPT, "method": "srds", "steps": 12, "images": 2, "seed": 7}
    accepted = processes.client.post("/v1/jobs", json=request, headers={"X-Request-Id": REQUEST})
    assert accepted.status_code == 202, accepted.text
    path = f"/v1/jobs/{accepted.json()['id']}"
    with processes.client.stream("GET", f"{path}/events") as stream:
        stream.read()
    found = processes.client.get(path).json()
    assert found["state"] == "succeeded", processes.raw()
    # The event comes first; the worker counts right after it.
    processes.until(lambda: processes.scrape("worker").sum("underpaint_jobs_ended_total"))
    return found


def test_every_part_tells_what_it_runs(processes: Processes) -> None:
    for part in PARTS:
        assert processes.scrape(part).sum("underpaint_build_info", part=part) == 1
        assert processes.scrape(part).sum("process_resident_memory_bytes") > 0


def test_the_engines_figures_are_those_of_the_job(processes: Processes, job: dict[str, Any]) -> None:
    worker = processes.scrape("worker")
    evaluations = sum(image["evaluations"] for image in job["images"])
    assert worker.get("underpaint_evaluations_total", model="emoji") == evaluations
    assert worker.get("underpaint_round_evaluations_sum", model="emoji") == evaluations
    rounds = worker.get("underpaint_rounds_total", model="emoji")
    assert rounds is not None
    # Both images share rounds, which at this width hold all that is ready.
    assert max(image["rounds"] for image in job["images"]) <= rounds < sum(image["rounds"] for image in job["images"])
    assert worker.get("underpaint_round_evaluations_count", model="emoji") == rounds
    assert worker.sum("underpaint_round_seconds_count", model="emoji") == rounds
    slots = worker.get("underpaint_slots_total", model="emoji")
    assert slots is not None
    assert slots % rounds == 0
    assert slots / rounds >= evaluations / rounds
    assert worker.get("underpaint_engine_images", model="emoji") == 0


def test_so_are_the_figures_of_images(processes: Processes, job: dict[str, Any]) -> None:
    worker = processes.scrape("worker")
    labels = {"model": "emoji", "method": "srds"}
    for figure in ("rounds", "evaluations"):
        assert worker.get(f"underpaint_image_{figure}_sum", **labels) == sum(each[figure] for each in job["images"])
        assert worker.get(f"underpaint_image_{figure}_count", **labels) == 2
    for stopped in {image["stopped"] for image in job["images"]}:
        iterates = [image["iterate"] for image in job["images"] if image["stopped"] == stopped]
        assert worker.get("underpaint_image_iterates_sum", stopped=stopped, **labels) == sum(iterates)
        assert worker.get("underpaint_image_iterates_count", stopped=stopped, **labels) == len(iterates)
    saved = sum(image["iterate"] + 1 for image in job["images"])
    assert worker.get("underpaint_save_seconds_count", model="emoji") == saved
    assert worker.get("underpaint_decode_seconds_count", model="emoji") == saved


def test_times_run_from_the_submission(processes: Processes, job: dict[str, Any]) -> None:
    worker = processes.scrape("worker")
    begun, ended = (datetime.fromisoformat(job[name]) for name in ("created_at", "finished_at"))
    assert worker.get("underpaint_first_preview_seconds_count", model="emoji") == 1
    assert worker.get("underpaint_image_seconds_count", model="emoji") == 2
    first = worker.get("underpaint_first_preview_seconds_sum", model="emoji")
    wait = worker.get("underpaint_queue_wait_seconds_sum", model="emoji", priority="normal")
    images = worker.get("underpaint_image_seconds_sum", model="emoji")
    assert first is not None
    assert wait is not None
    assert images is not None
    # Two clocks, of the database and of the worker, measure the same.
    assert 0 < wait < first < images / 2 < (ended - begun).total_seconds() + 0.1


def test_an_engine_is_idle_waits_or_works(processes: Processes, job: dict[str, Any]) -> None:
    def spent(doing: str) -> float:
        found = processes.scrape("worker").get("underpaint_engine_seconds_total", model="emoji", doing=doing)
        assert found is not None
        return found

    rounds = processes.scrape("worker").sum("underpaint_round_seconds_sum", model="emoji")
    assert spent("rounds") >= rounds > 0
    assert spent("preparing") > 0
    idle = spent("waiting")
    assert spent("waiting") > idle  # it goes on while it lasts


def test_jobs_are_counted_once_from_end_to_end(processes: Processes, job: dict[str, Any]) -> None:
    api, worker, beat = (processes.scrape(part) for part in PARTS)
    assert api.get("underpaint_jobs_submitted_total", model="emoji", priority="normal") == 1
    assert worker.get("underpaint_jobs_claimed_total") == 1
    assert worker.get("underpaint_jobs_ended_total", model="emoji", outcome=job["stopped"]) == 1
    assert sum(part.sum("underpaint_jobs_ended_total") for part in (api, worker, beat)) == 1
    assert worker.get("underpaint_worker_jobs") == worker.get("underpaint_leases_lost_total") == 0


def test_requests_are_told_by_the_template_of_their_path(processes: Processes, job: dict[str, Any]) -> None:
    client = processes.client
    client.head("/v1/models")
    client.get("/nothing/at/all")
    client.get("/v1/jobs", params={"limit": "0"})
    client.request("PROPFIND", "/v1/jobs")
    api = processes.scrape("api")

    def count(route: str, method: str, status: int) -> float:
        labels = {"route": route, "method": method, "status": str(status)}
        return api.get("underpaint_http_requests_total", **labels) or 0

    assert count("/v1/jobs", "POST", 202) == 1
    assert count("/v1/jobs/{job_id}", "GET", 200) == 1
    assert count("/v1/jobs/{job_id}/events", "GET", 200) == 1
    assert count("/v1/models", "HEAD", 200) == 1
    assert count("/v1/jobs", "GET", 422) == 1
    assert api.sum("underpaint_http_requests_total", route="other", method="GET", status="404") == 1
    assert api.sum("underpaint_http_requests_total", method="other", status="405") == 1
    assert api.sum("underpaint_http_request_seconds_count", route="/v1/jobs", method="POST") == 1
    assert job["id"] not in str(api.families)
    assert api.get("underpaint_http_requests_in_progress") == 1  # the scrape itself


def test_the_queue_the_workers_and_who_waits_are_seen(processes: Processes, job: dict[str, Any]) -> None:
    endless = {"prompt": PROMPT, "steps": 300, "blocks": 6, "tolerance": 0.0, "seed": 7}
    path = f"/v1/jobs/{processes.client.post('/v1/jobs', json=endless).json()['id']}"
    with processes.client.stream("GET", f"{path}/events") as stream:
        lines = stream.iter_lines()  # kept, since the stream is closed with it
        next(lines)
        running = processes.until(
            lambda: (
                (seen := processes.scrape("api")).get("underpaint_running_jobs", model="emoji")
                and seen.get("underpaint_waiting_clients", how="stream")
                and seen
            )
        )
        assert running.get("underpaint_waiting_clients", how="stream") == 1
        assert running.get("underpaint_waiting_clients", how="held") == 0
        assert running.get("underpaint_workers") == 1
        assert running.get("underpaint_beats") == 1
        assert running.get("underpaint_database_up") == running.get("underpaint_redis_up") == 1
        assert running.get("underpaint_queue_unsent_jobs") == running.get("underpaint_queue_oldest_seconds") == 0
        assert processes.scrape("worker").get("underpaint_worker_jobs") == 1
        assert processes.client.post(f"{path}/cancel").status_code == 202
        processes.until(
            lambda: processes.scrape("worker").get("underpaint_jobs_ended_total", model="emoji", outcome="canceled")
        )


def test_the_janitor_is_seen_at_work(processes: Processes) -> None:
    def swept() -> float:
        return processes.scrape("beat").sum("underpaint_janitor_last_sweep_timestamp_seconds")

    first = processes.until(swept)
    processes.until(lambda: swept() > first)


def test_openmetrics_is_spoken_too(processes: Processes) -> None:
    response = processes.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_logs_tell_whose_line_it_is(processes: Processes, job: dict[str, Any]) -> None:
    everything = {part: processes.lines(part) for part in PARTS}
    for line in (line for lines in everything.values() for line in lines):
        assert {"time", "level", "logger", "message"} <= line.keys()
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
    mine = [line for line in everything["worker"] if line.get("job_id") == job["id"]]
    assert any(line["message"].endswith("claimed, attempt 1") for line in mine)
    assert {line["request_id"] for line in mine[1:]} == {REQUEST}
    assert {line["attempt"] for line in mine} == {1}
    assert len({line["worker"] for line in mine}) == 1
    (access,) = [line for line in everything["api"] if line.get("request_id") == REQUEST]
    assert access["job_id"] == job["id"]
    assert "202" in access["message"]


def test_logs_keep_prompts_and_probes_to_themselves(processes: Processes, job: dict[str, Any]) -> None:
    assert PROMPT not in processes.raw()
    assert not any("/metrics" in line["message"] for line in processes.lines("api"))
