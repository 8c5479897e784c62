"""What the API reports to Prometheus about itself, of the queue and of the workers."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text, update
from sqlalchemy.orm import Session

from api.metrics.process import Metrics
from store import workers
from store.tables import Job
from tests.api.conftest import wait_until_sent
from tests.api.worker import Worker
from tests.until import until

Submit = Callable[..., str]


def scrape(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """The samples by (name, label values)."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name.removeprefix("underpaint_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def settled(client: httpx.Client, expected: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """A scrape with these samples. What is shared is looked at every few seconds."""
    found: dict[tuple[str, ...], float] = {}

    def as_expected() -> bool:
        found.clear()
        found.update(scrape(client))
        return all(found.get(name) == value for name, value in expected.items())

    until(as_expected, why=lambda: {name: found.get(name) for name in expected})
    return found


def test_the_queue_by_model_and_priority(
    client: httpx.Client, submit: Submit, worker: Worker, database: Engine, valkey: redis.Redis
) -> None:
    jobs = [submit(), submit(), submit(priority="high"), submit()]
    for job in jobs:
        wait_until_sent(database, job)
    with Session(database) as session, session.begin():
        long_ago = text("now() - interval '1 hour'")
        session.execute(update(Job).where(Job.id == UUID(jobs[0])).values(updated_at=long_ago, sent_at=None))
    worker.claim(jobs[3])
    workers.announce(valkey, "one", {}, 600)
    workers.announce(valkey, "two", {}, 600)
    workers.announce(valkey, "clock", {}, 600, "beat")
    found = settled(
        client,
        {
            ("queue_jobs", "emoji", "normal"): 2,
            ("queue_jobs", "emoji", "high"): 1,
            ("running_jobs", "emoji"): 1,
            ("queue_unsent_jobs",): 1,
            ("workers",): 2,
            ("beats",): 1,
            ("database_up",): 1,
            ("redis_up",): 1,
            ("webhook_deliveries_pending",): 0,
            ("webhook_deliveries_overdue_seconds",): 0,
        },
    )
    assert 3600 <= found["queue_oldest_seconds",] < 7200


def test_deliveries_that_are_pending_and_overdue(
    client: httpx.Client, submit: Submit, database: Engine, valkey: redis.Redis
) -> None:
    with Session(database) as session, session.begin():
        for _ in range(2):
            job = submit()
            wait_until_sent(database, job)
            session.execute(
                text(
                    "insert into webhook_deliveries (job_id, seq, state, due_at) "
                    "values (:job, 1, 'pending', now() - interval '1 hour')"
                ),
                {"job": job},
            )
    found = settled(client, {("webhook_deliveries_pending",): 2, ("queue_unsent_jobs",): 0})
    assert 3600 <= found["webhook_deliveries_overdue_seconds",] < 7200


def sample(metrics: Metrics, name: str, **labels: Any) -> float | None:
    return metrics.registry.get_sample_value(f"underpaint_{name}", labels)


@pytest.mark.parametrize(
    ("route", "method", "status", "labels"),
    [
        ("/v1/jobs", "POST", 202, {"route": "/v1/jobs", "method": "POST", "status": "202"}),
        (None, "GET", 404, {"route": "other", "method": "GET", "status": "404"}),
        ("/v1/jobs", "PROPFIND", 405, {"route": "/v1/jobs", "method": "other", "status": "405"}),
        ("/v1/jobs", "GET", None, {"route": "/v1/jobs", "method": "GET", "status": "none"}),
    ],
)
def test_a_request_is_counted_by_its_template(
    route: str | None, method: str, status: int | None, labels: dict[str, str]
) -> None:
    metrics = Metrics()
    metrics.answered(route, method, status, 0.5)
    assert sample(metrics, "http_requests_total", **labels) == 1
    del labels["status"]
    # Only what was answered has taken a time.
    assert sample(metrics, "http_request_seconds_sum", **labels) == (None if status is None else 0.5)


def test_submissions_and_waiting_clients() -> None:
    metrics, waiting = Metrics(), {"stream": 1, "held": 2}
    metrics.submitted("emoji", "high")
    metrics.submitted("emoji", "high")
    metrics.show_clients(lambda: waiting)  # pyright: ignore[reportArgumentType]
    assert sample(metrics, "jobs_submitted_total", model="emoji", priority="high") == 2
    waiting["held"] = 5
    assert [sample(metrics, "waiting_clients", how=how) for how in ("stream", "held")] == [1, 5]
