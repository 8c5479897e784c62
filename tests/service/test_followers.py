"""Clients that follow a job of a real worker, whatever is restarted meanwhile."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from store import reads
from tests.api.sse import ServerEvent
from tests.service.parts import Api
from tests.tasks.outside import Broker
from tests.until import PATIENCE

# Seconds of work on one slow core, an iterate every few rounds.
LONG: dict[str, Any] = {"steps": 100, "blocks": 10, "tolerance": 0.0, "max_iterations": 4}
SOME: dict[str, Any] = {"steps": 60, "blocks": 10, "tolerance": 0.0, "max_iterations": 2}
ENDLESS: dict[str, Any] = {"steps": 900, "blocks": 30, "tolerance": 0.0}

ENDED = ("succeeded", "failed", "canceled")


def stored(database: Engine, job: str) -> list[tuple[int, str]]:
    with Session(database) as session:
        return [(event.seq, event.kind) for event in session.scalars(reads.events(UUID(job)))]


def poll(api: Api, job: str) -> list[dict[str, Any]]:
    """What a client sees that asks once a second until the job has ended: the job, and its newest picture."""
    seen: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE
    with api.client() as client:
        while not seen or seen[-1]["state"] not in ENDED:
            assert time.monotonic() < deadline
            seen.append(client.get(f"/v1/jobs/{job}").json())
            picture = client.get(f"/v1/jobs/{job}/images/0/iterates/latest")
            seen[-1]["picture"] = int(picture.headers["underpaint-iterate"]) if picture.status_code == 200 else -1
            time.sleep(1)
    return seen


def hold(api: Api, job: str) -> list[dict[str, Any]]:
    """What a client sees that has every answer held until there is news."""
    seen: list[dict[str, Any]] = []
    known: dict[str, str] = {}
    deadline = time.monotonic() + PATIENCE
    with api.client() as client:
        while not seen or seen[-1]["state"] not in ENDED:
            assert time.monotonic() < deadline
            response = client.get(f"/v1/jobs/{job}?wait=20", headers=known)
            if response.status_code == 200:
                known = {"If-None-Match": response.headers["etag"]}
                seen.append(response.json())
    return seen


def progress(seen: dict[str, Any]) -> tuple[int, int]:
    order = ["queued", "running", *ENDED]
    iterate = seen["images"][0]["iterate"]
    return order.index(seen["state"]), -1 if iterate is None else iterate


def test_nobody_sees_the_stale_after_the_new(api: Api, database: Engine, pool: ThreadPoolExecutor) -> None:
    job = api.submit(**LONG)
    stream: Future[list[ServerEvent]] = pool.submit(lambda: list(api.follow(job)))
    polled, held = pool.submit(poll, api, job), pool.submit(hold, api, job)
    story = stream.result(PATIENCE)
    assert [(event.id, event.kind) for event in story] == stored(database, job)
    assert [event.data["iterate"] for event in story if event.kind == "iterate"] == list(range(5))
    assert (story[-1].kind, story[-1].data["stopped"]) == ("done", "max_iterations")
    for client in (polled, held):
        seen = [progress(each) for each in client.result(PATIENCE)]
        assert seen == sorted(seen)
        assert seen[-1] == (2, 4)
    pictures = [each["picture"] for each in polled.result()]
    assert pictures == sorted(pictures)
    # Which is at least as new as the figures that were asked for just before.
    assert all(each["picture"] >= progress(each)[1] for each in polled.result())
    # No answer is held for nothing: each differs from the one before.
    assert all(one != other for one, other in pairwise(held.result()))


@pytest.mark.slow
def test_the_stream_goes_on_after_a_restart_of_the_api(api: Api, database: Engine, pool: ThreadPoolExecutor) -> None:
    job = api.submit(**LONG)
    followers = [api.follow(job) for _ in range(2)]
    stories = [[next(follower), next(follower)] for follower in followers]
    api.kill()
    time.sleep(1)
    api.start()
    for story, rest in zip(stories, pool.map(list, followers), strict=True):
        assert [(event.id, event.kind) for event in story + rest] == stored(database, job)


def test_the_stream_goes_on_while_valkey_is_killed_and_comes_back_empty(
    api: Api, database: Engine, broker: Broker, pool: ThreadPoolExecutor
) -> None:
    job = api.submit(**LONG)
    follower = api.follow(job)
    story = [next(follower) for _ in range(3)]
    held = pool.submit(hold, api, job)
    broker.kill()
    late = pool.submit(lambda: list(api.follow(job)))  # one that comes meanwhile
    time.sleep(2)
    broker.start()
    story += follower
    expected = stored(database, job)
    assert [(event.id, event.kind) for event in story] == expected
    assert [(event.id, event.kind) for event in late.result(PATIENCE)] == expected
    assert held.result(PATIENCE)[-1]["state"] == "succeeded"
    # And news are quick again.
    job = api.submit(steps=4)
    assert [event.kind for event in api.follow(job)][-1] == "done"


def accept_early(api: Api, client: httpx.Client) -> tuple[str, list[ServerEvent]]:
    """Accept a job after its first iterate. Returns the job, and the events after that iterate. If this process stalls
    for so long that the job has been computed to its end, another job is tried."""
    for _ in range(5):
        job = api.submit(**ENDLESS)
        follower = api.follow(job)
        next(event for event in follower if event.kind == "iterate")
        response = client.post(f"/v1/jobs/{job}/accept")
        rest = list(follower)
        if rest[-1].data["stopped"] != "exact":
            assert response.status_code == 202
            return job, rest
    raise AssertionError("no job was accepted before it ended")


def test_accepting_ends_a_job_at_once(api: Api) -> None:
    with api.client() as client:
        job, rest = accept_early(api, client)
        assert (rest[-1].kind, rest[-1].data["stopped"]) == ("done", "accepted")
        final = [event.data for event in rest if event.kind == "iterate"][-1]
        assert final["final"]
        assert final["rounds"] < 900, "it was not computed to its end"
        picture = client.get(final["picture"])
        assert (picture.status_code, picture.headers["underpaint-final"]) == (200, "true")
        assert client.get(f"/v1/jobs/{job}").json()["images"][0]["links"]["final"] == final["picture"]


def test_a_draft_is_refined_to_the_picture_it_would_have_been(api: Api) -> None:
    request = {"steps": 50, "blocks": 10, "tolerance": 0.001}
    whole = api.submit(**request)
    draft = api.submit(**request, max_iterations=0)
    for job in (whole, draft):
        list(api.follow(job))
    rough = api.get(draft)
    assert (rough["stopped"], rough["images"][0]["iterate"]) == ("max_iterations", 0)
    with api.client() as client:
        response = client.post(f"/v1/jobs/{draft}/refine")
        assert response.status_code == 202
        assert list(api.follow(draft))[-1].data["stopped"] == "converged"
        one, other = (api.get(job)["images"][0] for job in (whole, draft))
        assert other["iterate"] == one["iterate"]
        spent = other["evaluations"] - rough["images"][0]["evaluations"]
        assert spent < one["evaluations"]
        assert other["evaluations"] <= one["evaluations"] * 1.1
        assert _shape(client, one) == _shape(client, other)


def _shape(client: httpx.Client, image: dict[str, Any]) -> int:
    response = client.get(image["links"]["final"])
    assert response.headers["underpaint-final"] == "true"
    return response.status_code
