"""Both clients with a real server, through a proxy that breaks connections."""

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from httpx_sse import ServerSentEvent
from PIL import Image
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from contract.fields import Generation
from store import moves, tables
from tests.api.worker import Worker, png
from tests.client.proxy import Proxy, html_error
from tests.pictures_in import picture
from tests.until import until
from underpaint import (
    AsyncUnderpaint,
    BadAddress,
    BadKey,
    Conflict,
    DoneEvent,
    Forbidden,
    InvalidRequest,
    IterateEvent,
    Job,
    JobFailed,
    NotFound,
    ServerFault,
    StateEvent,
    TimedOut,
    TooMany,
    Unauthorized,
    Underpaint,
    UnexpectedAnswer,
    Unreachable,
)
from underpaint.retries import Retries
from underpaint.tail import EventTail


def test_what_is_read_is_what_the_server_sent(
    client: Underpaint, worker: Worker, proxy: Proxy, make_key: Callable[..., str]
) -> None:
    job = client.submit("red heart", seed=7, images=2)
    assert (job.state, job.request.seed, [image.seed for image in job.images]) == ("queued", 7, [7, 8])
    worker.run(str(job.id), images=2)
    job = client.wait(job)
    assert (job.state, job.stopped, job.ended) == ("succeeded", "converged", True)
    assert [(each.image, each.iterate) for each in client.iterates(job)] == [(n, p) for n in (0, 1) for p in range(3)]

    headers = {"Authorization": f"Bearer {make_key('all', 'admin')}"}
    with httpx.Client(base_url=proxy.address, headers=headers, trust_env=False) as plain:
        assert job.model_dump(mode="json", exclude_unset=True) == plain.get(f"/v1/jobs/{job.id}").json()
        models = [model.model_dump(mode="json", exclude_unset=True) for model in client.models()]
        assert models == plain.get("/v1/models").json()["models"]
        assert client.health().version == plain.get("/healthz").json()["version"]


def test_what_only_a_newer_server_sends_is_kept(generation: Callable[..., Generation]) -> None:
    sent = {
        "id": str(uuid4()),
        "state": "queued",
        "created_at": "2026-01-01T12:00:00Z",
        "updated_at": "2026-01-01T12:00:00Z",
        "request": {**generation().model_dump(), "colour": "red"},
        "images": [],
        "links": {"self": "/"},
        "mood": {"good": True},
    }
    assert Job.model_validate(sent).model_dump(mode="json", exclude_unset=True) == sent
    tail = EventTail(uuid4(), 0, 0)
    assert tail.received(ServerSentEvent("moon", '{"phase": 1}', "3")) is None
    assert tail.headers["Last-Event-ID"] == "3"


def test_pictures(client: Underpaint, worker: Worker) -> None:
    job = client.submit("red heart")
    with pytest.raises(NotFound) as missing:
        client.picture(job)
    assert missing.value.kind == "no-such-picture"
    worker.run(str(job.id))
    first, last = client.picture(job, 0, 0), client.picture(str(job.id), format="webp")
    assert (first.iterate, first.final, first.media_type, first.content) == (0, False, "image/png", png(0))
    assert (last.iterate, last.final, last.media_type, last.content[8:12]) == (2, True, "image/webp", b"WEBP")


def test_generate(client: Underpaint, worker: Worker, pool: ThreadPoolExecutor) -> None:
    pictures = pool.submit(client.generate, "red heart", images=2, format="jpeg")
    worker.run(queued(client), images=2)
    assert [(each.image, each.iterate, each.final, each.media_type) for each in pictures.result()] == [
        (0, 2, True, "image/jpeg"),
        (1, 2, True, "image/jpeg"),
    ]
    failing = pool.submit(client.generate, "red heart")
    job = queued(client)
    worker.claim(job)
    worker.fail(job, "the state is not finite")
    with pytest.raises(JobFailed, match="not finite") as failed:
        failing.result()
    assert str(failed.value.job.id) == job


def queued(client: Underpaint) -> str:
    """Waits for a queued job, and returns its id."""
    (job, *_) = until(lambda: client.page(state="queued").jobs)
    return str(job.id)


def test_waiting(client: Underpaint, worker: Worker) -> None:
    job = client.submit("red heart")
    with pytest.raises(TimedOut, match="goes on") as over:
        client.wait(job, timeout=0)
    assert over.value.job.state == "queued"
    worker.claim(str(job.id))
    assert client.job(job, wait=20).state == "running"
    assert client.cancel(job).cancel_requested
    worker.cancel(str(job.id))
    assert client.wait(job.id).state == "canceled"


def test_control(client: Underpaint, worker: Worker) -> None:
    job = client.submit("red heart")
    with pytest.raises(Conflict):
        client.accept(job)
    worker.claim(str(job.id))
    with pytest.raises(Conflict) as refused:
        client.delete(job)
    assert refused.value.kind == "not-finished"
    worker.start(str(job.id))
    worker.save(str(job.id), 0, png())
    assert client.accept(job).accept_requested
    worker.save(str(job.id), 1, png(1), final=True)
    worker.finish(str(job.id), "accepted")
    with pytest.raises(InvalidRequest):
        client.refine(job, tolerance=0.5)
    assert client.refine(job, tolerance=0.0001, max_iterations=9).request.tolerance == 0.0001
    client.cancel(job)
    client.delete(job)
    with pytest.raises(NotFound):
        client.job(job)


def test_events_resume_where_the_stream_was_cut(client: Underpaint, worker: Worker, proxy: Proxy) -> None:
    job = client.submit("red heart")
    worker.claim(str(job.id))
    worker.start(str(job.id))
    worker.save(str(job.id), 0, png())
    proxy.cut_after = b"event: iterate"
    stream = client.events(job)
    seen = [next(stream) for _ in range(4)]
    worker.save(str(job.id), 1, png(1))
    worker.save(str(job.id), 2, png(2), final=True)
    worker.finish(str(job.id))
    seen += stream
    assert proxy.cut_after == b""
    assert [event.id for event in seen] == list(range(1, len(seen) + 1))
    assert [event.iterate for event in seen if isinstance(event, IterateEvent)] == [0, 1, 2]
    assert [type(event) for event in (seen[0], seen[-1])] == [StateEvent, DoneEvent]
    assert list(client.events(job, after=seen[-1].id)) == []


def test_events_of_a_job_that_is_not_there(client: Underpaint) -> None:
    with pytest.raises(NotFound):
        next(iter(client.events(uuid4())))


def test_a_lost_response_makes_no_second_job(client: Underpaint, proxy: Proxy) -> None:
    proxy.drop_response_to = b"POST"
    job = client.submit("red heart")
    assert proxy.dropped == 1
    assert [each.id for each in client.jobs()] == [job.id]


def test_what_must_not_happen_twice_is_sent_once(client: Underpaint, worker: Worker, proxy: Proxy) -> None:
    job = client.submit("red heart", max_iterations=0)
    worker.run(str(job.id), stopped="max_iterations")
    proxy.drop_response_to = b"POST"
    with pytest.raises(Unreachable) as lost:
        client.refine(job)
    assert lost.value.sent
    assert client.job(job).state == "queued"


def test_a_server_that_is_away_for_a_moment(client: Underpaint, proxy: Proxy) -> None:
    proxy.replacement = (b"POST", html_error("503 Away"))
    job = client.submit("red heart")
    assert proxy.replacement is None
    proxy.replacement = (b"GET", html_error("502 Bad Gateway"))
    assert next(iter(client.events(job))).id == 1
    assert proxy.replacement is None


def test_without_patience(make: Callable[..., Underpaint], make_key: Callable[..., str], proxy: Proxy) -> None:
    client = make(key=make_key("ann"), patience=0)
    proxy.replacement = (b"GET", html_error("503 Away"))
    with pytest.raises(ServerFault, match="503") as away:
        client.models()
    assert (away.value.status, away.value.retry_after) == (503, 0)
    with pytest.raises(Unreachable, match="No server answers at http://127") as gone:
        make(server="http://127.0.0.1:9", patience=0).models()
    assert not gone.value.sent


def test_problems(make: Callable[..., Underpaint], make_key: Callable[..., str]) -> None:
    client = make(key=make_key("ann", max_queued=1), patience=0)
    with pytest.raises(InvalidRequest) as wrong:
        client.submit("x", steps=0, width=63)
    assert [error.field for error in wrong.value.errors] == ["steps", "width"]
    assert "steps must be" in str(wrong.value)
    assert (wrong.value.status, wrong.value.kind) == (422, "invalid-request")
    assert wrong.value.request_id
    client.submit("red heart")
    with pytest.raises(TooMany) as full:
        client.submit("red heart")
    assert full.value.retry_after == 5
    with pytest.raises(Forbidden):
        make(key=make_key("bob", "read")).submit("red heart")
    with pytest.raises(Unauthorized):
        make(key="up_nobody").models()


def test_the_server_says_when_to_try_again() -> None:
    busy = TooMany(429, {"detail": "Busy."}, retry_after=5)
    assert Retries(60).delay(busy, repeatable=False) >= 5
    with pytest.raises(TooMany):
        Retries(4).delay(busy)  # would be too late
    away = ServerFault(503, {}, retry_after=None)
    assert 0 < Retries(60).delay(away) < 1
    with pytest.raises(ServerFault):
        Retries(60).delay(away, repeatable=False)
    with pytest.raises(ServerFault):
        Retries(60).delay(ServerFault(500, {}))
    assert Retries(60).delay(Unreachable("", sent=False), repeatable=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the client reads, as the sum of this list."""
    seconds = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: sum(seconds))
    return seconds


def stream() -> httpx.Response:
    """The head of a stream of events."""
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, request=httpx.Request("GET", "http://x"))


def test_a_quiet_stream_does_not_use_up_the_patience(clock: list[float]) -> None:
    tail = EventTail(uuid4(), 0, patience=5)
    for _ in range(3):
        assert tail.opened(stream())
        clock.append(3600)
        clock.append(tail.closed(httpx.ReadError("cut", request=httpx.Request("GET", "http://x"))))
    assert sum(clock) < 1000 + 3 * 3600 + 5


def test_a_stream_without_events_uses_up_the_patience(clock: list[float]) -> None:
    tail = EventTail(uuid4(), 0, patience=5)
    for _ in range(2):
        assert tail.opened(stream())
        assert tail.received(ServerSentEvent(retry=2000)) is None
        clock.append(tail.closed(None))
    assert clock == [1000, 2, 2]
    with pytest.raises(Unreachable, match="ends its stream"):
        tail.closed(None)
    assert tail.headers["Last-Event-ID"] == "0"


@pytest.mark.parametrize(("data", "number"), [("[]", "1"), ("{", "1"), ("{}", "1"), ('{"state": "queued"}', "one")])
def test_an_event_that_no_server_sends(data: str, number: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="no Underpaint server sends"):
        EventTail(uuid4(), 0, 0).received(ServerSentEvent("state", data, number))


def test_all_jobs_page_by_page(client: Underpaint, database: Engine, generation: Callable[..., Generation]) -> None:
    oldest = client.submit("red heart")
    with Session(database) as session:
        owner = session.scalars(select(tables.Job.key_id)).one()
        for _ in range(101):
            session.execute(moves.submit(uuid4(), generation(), key_id=owner))
            session.commit()
    found = [job.id for job in client.jobs()]
    assert (len(found), len(set(found)), found[-1]) == (102, 102, oldest.id)
    first = client.page(limit=3)
    assert [job.id for job in first.jobs] == found[:3]
    assert [job.id for job in client.page(limit=2, cursor=first.next_cursor).jobs] == found[3:5]
    assert len(list(client.jobs(state=["queued", "failed"], model="emoji"))) == 102
    assert list(client.jobs(state="running")) == []


@pytest.mark.parametrize("wrong", ["localhost", "ftp://x", "http://", "http://[::1", "http://x:y"])
def test_no_address(make: Callable[..., Underpaint], wrong: str) -> None:
    with pytest.raises(BadAddress, match="not the address of a server"):
        make(server=wrong)


def test_no_key(make: Callable[..., Underpaint]) -> None:
    with pytest.raises(BadKey):
        make(key="up_secret\n")


def test_no_id(client: Underpaint) -> None:
    with pytest.raises(ValueError, match="UUID"):
        client.job("../models")


@pytest.mark.parametrize("status", ["200 OK", "301 Moved", "404 Not Found"])
def test_another_server(client: Underpaint, proxy: Proxy, status: str) -> None:
    proxy.replacement = (b"GET", html_error(status))
    with pytest.raises(UnexpectedAnswer, match=r"as (no|an) Underpaint server does"):
        client.models()
    assert proxy.replacement is None


def test_both_clients_are_alike() -> None:
    def methods(of: type) -> dict[str, tuple[list[Any], str | None]]:
        return {
            name: ([*inspect.signature(each).parameters.values()], each.__doc__)
            for name, each in vars(of).items()
            if inspect.isfunction(each) and not name.startswith("_")
        }

    assert methods(Underpaint) == methods(AsyncUnderpaint)


def test_pictures_are_sent_with_a_job(client: Underpaint, tmp_path: Path) -> None:
    file = tmp_path / "before.png"
    file.write_bytes(picture())
    white = Image.new("L", (64, 64), 255)
    sent = [client.submit("a", image=each, mask=white, strength=0.5) for each in (file, picture(), Image.open(file))]
    sent.append(client.submit("a", image=client.upload(file)))
    assert len({job.request.image for job in sent}) == 1
    assert [bool(job.request.mask) for job in sent] == [True] * 3 + [False]
    with pytest.raises(InvalidRequest, match="is the id of no upload"):
        client.submit("a", image="0" * 64)
    with pytest.raises(FileNotFoundError):
        client.submit("a", image=tmp_path / "other.png")
