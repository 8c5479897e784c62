"""Webhooks by HTTP: asking for one, and what became of its deliveries. tests/tasks/webhooks has the sending."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from store.tables import Delivery, Job
from tests.api.problem import faults, problem
from tests.api.worker import Worker

Submit = Callable[..., str]
URL = "https://example.org/hook"
ALL = ["done", "iterate", "state"]


def test_a_job_tells_its_webhook(client: httpx.Client, submit: Submit, database: Engine) -> None:
    job = client.get(f"/v1/jobs/{submit(webhook={'url': URL})}").json()
    assert job["webhook"] == {"url": URL, "events": ["done"]}
    with Session(database) as session:
        kept = session.get(Job, job["id"])
        assert kept is not None
        assert kept.webhook is not None
        assert kept.webhook["base"] == str(client.base_url).rstrip("/")  # for the links in what is sent
    assert client.get(f"/v1/jobs/{submit()}").json()["webhook"] is None


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ({"url": "https://10.0.0.1/"}, "webhook.url"),
        ({"url": "https://0x7f000001/"}, "webhook.url"),
        ({"url": "http://example.org/"}, "webhook.url"),
        ({"url": "https://a:b@example.org/"}, "webhook.url"),
        ({"url": URL, "events": []}, "webhook.events"),
        ({"url": URL, "events": ["done", "done"]}, "webhook.events"),
        ({"url": URL, "events": ["start"]}, "webhook.events.0"),
        ({"url": URL, "base": "https://evil.example"}, "webhook.base"),
        ({"url": URL, "disabled": None}, "webhook.disabled"),
        ({}, "webhook.url"),
        (URL, "webhook"),
    ],
)
def test_a_wrong_webhook_is_told_with_all_else(client: httpx.Client, webhook: Any, field: str) -> None:
    found = faults(client.post("/v1/jobs", json={"prompt": "x", "steps": 0, "webhook": webhook}))
    assert found.keys() == {"steps", field}


def test_deliveries_are_listed_page_by_page(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit(webhook={"url": URL, "events": ALL})
    worker.run(job)
    links = client.get(f"/v1/jobs/{job}").json()["links"]
    whole = client.get(links["deliveries"]).json()
    listed = [(each["seq"], each["event"]) for each in whole["deliveries"]]
    assert [seq for seq, _ in listed] == list(range(1, len(listed) + 1))
    assert (listed[0][1], listed[-1][1]) == ("state", "done")
    assert (whole["next_cursor"], whole["disabled"]) == (None, None)
    first = whole["deliveries"][0]
    assert (first["state"], first["attempts"], first["status"], first["error"]) == ("pending", 0, None, None)
    assert first["next_attempt_at"]
    pages, cursor = [], 0
    while cursor is not None:
        page = client.get(links["deliveries"], params={"limit": 3, "cursor": cursor}).json()
        pages += page["deliveries"]
        cursor = page["next_cursor"]
    assert pages == whole["deliveries"]
    assert client.get(f"/v1/jobs/{submit()}/deliveries").json()["deliveries"] == []


def test_a_delivery_is_sent_again(client: httpx.Client, submit: Submit, database: Engine) -> None:
    job, other = (submit(webhook={"url": URL, "events": ["state"]}) for _ in range(2))
    ended = {"state": "failed", "due_at": None, "attempts": 10, "status": 500, "error": "the answer was 500"}
    with Session(database) as session, session.begin():
        session.execute(update(Delivery).values(ended))
    (failed,) = client.get(f"/v1/jobs/{job}/deliveries").json()["deliveries"]
    assert (failed["state"], failed["next_attempt_at"]) == ("failed", None)
    again = client.post(failed["links"]["send"])
    assert again.status_code == 202
    assert (again.json()["id"], again.json()["state"], again.json()["attempts"]) == (failed["id"], "pending", 0)
    assert client.get(f"/v1/jobs/{job}/deliveries").json()["deliveries"] == [again.json()]
    (untouched,) = client.get(f"/v1/jobs/{other}/deliveries").json()["deliveries"]
    assert untouched["state"] == "failed"
    path = f"/v1/jobs/{{}}/deliveries/{failed['id']}/send"
    problem(client.post(path.format(other)), 404, "no-such-delivery")
    problem(client.post(path.format(uuid4())), 404, "no-such-job")
