"""The stream of a job's events."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from store import wakeups
from store.tables import Event
from tests.api.problem import faults, problem
from tests.api.sse import ServerEvent, parse
from tests.api.worker import Worker, png

Submit = Callable[..., str]


def read(client: httpx.Client, job: str, after: int | None = None, limit: int | None = None) -> list[ServerEvent]:
    """The events of a job until its stream ends, or so many of them."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    with client.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as response:
        assert response.status_code == 200, response.read()
        return list(islice(parse(response.iter_lines()), limit))


def stored(database: Engine, job: str) -> list[tuple[int, str]]:
    with Session(database) as session:
        rows = session.execute(select(Event.seq, Event.kind).where(Event.job_id == UUID(job)).order_by(Event.seq))
        return [(seq, kind) for seq, kind in rows]


def test_the_whole_story(client: httpx.Client, submit: Submit, worker: Worker, database: Engine) -> None:
    job = submit()
    worker.run(job)
    story = read(client, job)
    assert [(event.id, event.kind) for event in story] == stored(database, job)
    first, last = story[0], story[-1]
    assert (first.data["state"], last.data["state"], last.data["stopped"]) == ("queued", "succeeded", "converged")
    pictures = [event.data for event in story if event.kind == "iterate"]
    assert [(data["iterate"], data["final"]) for data in pictures] == [(0, False), (1, False), (2, True)]
    for data in pictures:
        assert client.get(data["picture"]).content == png(data["iterate"])
        assert data["error_estimate"] == (0.02 / data["iterate"] if data["iterate"] else None)
        assert data["rounds"] < data["evaluations"] or data["iterate"] == 0


def test_what_the_stream_is_sent_with(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit()
    worker.run(job)
    response = client.get(client.get(f"/v1/jobs/{job}").json()["links"]["events"])
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.text.startswith("retry: 2000\n\n")
    with client.stream("HEAD", f"/v1/jobs/{submit()}/events") as head:  # of a stream without end
        assert head.headers["content-type"].startswith("text/event-stream")
    assert client.get("/healthz").status_code == 200


def test_it_goes_on_after_the_last_event_received(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit()
    worker.run(job)
    story = read(client, job)
    for event in story[:-1]:
        assert read(client, job, after=event.id) == story[event.id :]
    url = f"/v1/jobs/{job}/events?last_event_id=3"
    assert list(parse(client.get(url).iter_lines())) == story[3:]
    # EventSource asks for the same address again, with a header that is newer.
    assert list(parse(client.get(url, headers={"Last-Event-ID": "5"}).iter_lines())) == story[5:]


def test_who_has_it_all_need_not_come_back(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit()
    worker.run(job)
    last = read(client, job)[-1].id
    for known in (last, last + 5):
        response = client.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": str(known)})
        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("known", ["-1", "x", str(2**31)])
def test_a_position_that_cannot_be(client: httpx.Client, submit: Submit, known: str) -> None:
    url = f"/v1/jobs/{submit()}/events"
    assert list(faults(client.get(url, headers={"Last-Event-ID": known}))) == ["Last-Event-ID"]
    assert list(faults(client.get(url, params={"last_event_id": known}))) == ["last_event_id"]


def test_a_job_that_is_not_there(client: httpx.Client) -> None:
    problem(client.get(f"/v1/jobs/{uuid4()}/events"), 404, "no-such-job")


def test_events_come_as_they_happen(client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis) -> None:
    job = submit()
    with client.stream("GET", f"/v1/jobs/{job}/events") as response:
        events = parse(response.iter_lines())
        assert next(events).data["state"] == "queued"
        worker.claim(job)
        wakeups.publish(valkey, UUID(job), 2)
        assert next(events).data["state"] == "running"
        saved = worker.save(job, 0, png(0))
        wakeups.publish(valkey, UUID(job), saved.seq)
        assert next(events).data["etag"] == saved.etag
        worker.fail(job, "broken")  # without a message: the poll finds it
        assert next(events) == (saved.seq + 1, "done", {**next_data("failed"), "error": "broken", "failure": "worker"})
        assert list(events) == []


def next_data(state: str) -> dict[str, object]:
    return {"state": state, "stopped": None, "error": None, "cancel_requested": False, "accept_requested": False}


def test_nothing_is_missed_or_told_twice_however_late_one_comes(
    client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis, address: str, database: Engine
) -> None:
    """Clients come, are cut off and come back while events are written as fast as they can be."""
    job = submit()
    worker.claim(job)

    def follow(seed: int) -> list[ServerEvent]:
        choose, story = random.Random(seed), list[ServerEvent]()
        with httpx.Client(base_url=address, trust_env=False, timeout=20) as mine:
            while not story or story[-1].kind != "done":
                time.sleep(choose.random() / 10)
                story += read(mine, job, after=story[-1].id if story else None, limit=choose.choice([1, 3, 20, None]))
        return story

    with ThreadPoolExecutor(8) as pool:
        followers = [pool.submit(follow, seed) for seed in range(8)]
        for iterate in range(150):
            saved = worker.save(job, iterate, None)
            if iterate % 3:  # every third message is lost
                wakeups.publish(valkey, UUID(job), saved.seq)
            time.sleep(0.005)
        worker.finish(job)
        stories = [follower.result(30) for follower in followers]
    expected = stored(database, job)
    assert len(expected) == 154
    for story in stories:
        assert [(event.id, event.kind) for event in story] == expected


def test_a_deleted_job_has_no_more_to_tell(
    client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis, database: Engine
) -> None:
    job = submit()
    with client.stream("GET", f"/v1/jobs/{job}/events") as response:
        events = parse(response.iter_lines())
        next(events)
        with database.begin() as connection:
            connection.execute(text("delete from jobs"))
        assert list(events) == []


def test_the_stream_outlives_its_connections_to_the_database(
    client: httpx.Client, submit: Submit, worker: Worker, database: Engine
) -> None:
    job = submit()
    cut = text("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = :d")
    with client.stream("GET", f"/v1/jobs/{job}/events") as response:
        events = parse(response.iter_lines())
        next(events)
        with database.connect() as connection:
            connection.execute(cut, {"d": "underpaint"})
        database.dispose()
        worker.run(job)
        assert [event.id for event in events] == list(range(2, 9))


def test_silence_is_broken_by_a_comment(client: httpx.Client, submit: Submit) -> None:
    job = submit()
    with client.stream("GET", f"/v1/jobs/{job}/events") as response:
        began, lines = time.monotonic(), response.iter_lines()
        assert ": ping" in lines
        assert time.monotonic() - began > 14


def test_many_follow_at_once(
    address: str, client: httpx.Client, submit: Submit, worker: Worker, valkey: redis.Redis
) -> None:
    job = submit()
    ready = threading.Barrier(21)

    def follow() -> list[int]:
        with (
            httpx.Client(base_url=address, trust_env=False, timeout=20) as mine,
            mine.stream("GET", f"/v1/jobs/{job}/events") as response,
        ):
            events = parse(response.iter_lines())
            first = next(events)
            ready.wait(20)
            return [first.id, *(event.id for event in events)]

    with ThreadPoolExecutor(20) as pool:
        followers = [pool.submit(follow) for _ in range(20)]
        ready.wait(20)
        worker.run(job)
        wakeups.publish(valkey, UUID(job), 8)
        assert [follower.result(20) for follower in followers] == [list(range(1, 9))] * 20
