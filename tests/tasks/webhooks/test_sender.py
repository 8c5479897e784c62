"""What the sender sends, what it does with the answers, and where it does not go."""

import json
import socket
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, func, insert, text, update
from sqlalchemy.orm import Session
from standardwebhooks import Webhook, WebhookVerificationError

from store import deliveries, keys, moves, webhook_secrets
from store.tables import ApiKey, Delivery, server_secrets
from tasks.webhooks.fairness import AT_ONCE
from tasks.webhooks.sender import pause
from tests.api.worker import Worker
from tests.tasks.jobs import Jobs
from tests.tasks.webhooks.receiver import Receiver
from tests.until import until

Make = Callable[..., Receiver]
Hooked = Callable[..., UUID]


@pytest.fixture
def outbox(database: Engine) -> Callable[[UUID], Sequence[Delivery]]:
    def read(job_id: UUID) -> Sequence[Delivery]:
        with Session(database) as session:
            return [row for row, _ in session.execute(deliveries.listed(job_id, 100))]

    return read


@pytest.fixture
def settled(outbox: Callable[[UUID], Sequence[Delivery]]) -> Callable[[UUID], Delivery]:
    """The first delivery of a job once an attempt at it has ended."""

    def wait(job_id: UUID) -> Delivery:
        until(lambda: outbox(job_id)[0].attempts > 0 and outbox(job_id)[0].claimed_until is None)
        return outbox(job_id)[0]

    return wait


@pytest.fixture
def make_key(database: Engine) -> Callable[[], UUID]:
    """Makes API keys."""

    def make() -> UUID:
        key = uuid4()
        with database.begin() as connection:
            row = keys.create(f"key {key}", str(key), ("submit",)).returning(ApiKey.id)
            return connection.scalars(row).one()

    return make


def due_now(database: Engine) -> None:
    """What is to be tried again is tried now."""
    with Session(database) as session, session.begin():
        session.execute(update(Delivery).where(Delivery.state == "pending").values(due_at=func.now()))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lets the system's resolver answer for a name: its first question with the first address, and so on; the last one
    for good. Gives the list of the addresses that it has answered."""
    real = socket.getaddrinfo
    answers: dict[str, list[str]] = {}
    given: dict[str, list[str]] = {}

    def resolve(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in answers:
            return real(host, port, *rest, **more)
        mine = answers[name]
        address = mine.pop(0) if len(mine) > 1 else mine[0]
        given[name].append(address)
        return real(address, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    def add(name: str, *addresses: str) -> list[str]:
        answers[name], given[name] = list(addresses), []
        return given[name]

    return add


@pytest.mark.parametrize(
    ("attempts", "nominal"), [(1, 5), (2, 20), (3, 80), (4, 320), (6, 5120), (7, 20480), (8, 6 * 3600), (50, 6 * 3600)]
)
def test_pauses_grow_and_differ(attempts: int, nominal: float) -> None:
    pauses = [pause(attempts) for _ in range(50)]
    assert all(0.75 * nominal <= seconds <= 1.25 * nominal for seconds in pauses)
    assert len(set(pauses)) > 1


def test_a_job_is_announced_in_order_and_signed(
    database: Engine, receiver: Make, sending: Callable[..., object], hooked: Hooked
) -> None:
    there, secret = receiver(), webhook_secrets.new_secret()
    job = str(hooked(there.url, "state", "iterate", "done"))
    Worker(database).run(job)
    sending(webhook_secret=f"{webhook_secrets.new_secret()} {secret}")
    with Session(database) as session:
        wanted = session.scalar(text("select count(*) from events")) or 0
    events = [Webhook(secret).verify(each.body, each.headers) for each in there.wait(wanted)]
    assert [each["data"]["seq"] for each in events] == list(range(1, wanted + 1))
    assert [each["type"] for each in events] == ["job.state"] * 3 + ["job.iterate"] * 3 + ["job.state", "job.done"]
    iterate, done = events[5]["data"], events[-1]["data"]
    assert iterate["picture"] == f"https://pictures.example/v1/jobs/{job}/images/0/iterates/2"
    assert (done["job"], done["state"], done["stopped"]) == (job, "succeeded", "converged")
    assert done["links"] == {"job": f"https://pictures.example/v1/jobs/{job}"}
    assert [image["picture"] for image in done["images"]] == [iterate["picture"]]
    assert [image["error_estimate"] for image in done["images"]] == [iterate["error_estimate"]] == [0.01]
    assert len({each.headers["webhook-id"] for each in there.received}) == wanted
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook_secrets.new_secret()).verify(there.received[0].body, there.received[0].headers)


def test_the_secret_is_the_keys_or_the_kept_one(
    database: Engine, receiver: Make, sending: Callable[..., object], hooked: Hooked
) -> None:
    there, key_id, secret = receiver(), uuid4(), webhook_secrets.new_secret()
    key = {"name": "a", "prefix": "p", "hash": "h", "scopes": ["submit"], "webhook_secret": secret}
    with Session(database) as session, session.begin():
        session.execute(insert(ApiKey).values(id=key_id, **key))
    hooked(there.url, key_id=key_id)
    sending()
    Webhook(secret).verify(there.wait(1)[0].body, there.received[0].headers)
    hooked(there.url)
    there.wait(2)
    with Session(database) as session:
        kept = session.scalars(webhook_secrets.kept()).one()
        assert session.query(server_secrets).count() == 1
    Webhook(kept).verify(there.received[1].body, there.received[1].headers)


def test_what_was_refused_is_sent_again_as_the_same(
    database: Engine,
    receiver: Make,
    sending: Callable[..., Any],
    hooked: Hooked,
    settled: Callable[[UUID], Delivery],
) -> None:
    there = receiver()
    there.answers = [(500, {}), (204, {})]
    job = hooked(there.url)
    sender = sending()
    failed = settled(job)
    assert (failed.state, failed.status, failed.error) == ("pending", 500, "the answer was 500, not 2xx")
    assert failed.due_at is not None
    assert failed.attempted_at is not None
    assert 3 < (failed.due_at - failed.attempted_at).total_seconds() < 12
    due_now(database)
    first, second = there.wait(2)
    until(lambda: settled(job).state == "delivered")
    assert (settled(job).attempts, settled(job).status, settled(job).error) == (2, 204, None)
    until(lambda: sender.counted() == {"retried": 1, "delivered": 1})
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_after_the_last_attempt_it_has_failed(
    receiver: Make, sending: Callable[..., Any], hooked: Hooked, settled: Callable[[UUID], Delivery]
) -> None:
    there = receiver()
    there.answers = [(503, {})]
    job = hooked(there.url)
    sender = sending(webhook_attempts=1)
    assert (settled(job).state, settled(job).due_at) == ("failed", None)
    until(lambda: sender.counted() == {"failed": 1})


def test_410_ends_the_webhook(
    jobs: Jobs, receiver: Make, sending: Callable[..., Any], hooked: Hooked, outbox: Any
) -> None:
    there = receiver()
    there.answers = [(410, {})]
    job = hooked(there.url, "state", "done")
    jobs.do(moves.claim(job, "worker", 60))
    sender = sending()
    until(lambda: [row.state for row in outbox(job)] == ["failed"] * 2)
    until(lambda: sender.counted() == {"disabled": 1})
    jobs.do(moves.cancel(job))
    jobs.do(moves.canceled(job, 1))
    assert [row.state for row in outbox(job)] == ["failed"] * 4
    assert all("410" in row.error for row in outbox(job))
    assert len(there.received) == 1


def test_redirects_are_not_followed(
    receiver: Make, sending: Callable[..., object], hooked: Hooked, settled: Callable[[UUID], Delivery]
) -> None:
    inside, there = receiver(), receiver()
    there.answers = [(307, {"Location": inside.url})]
    job = hooked(there.url)
    sending()
    assert settled(job).status == 307
    assert "redirects are not followed" in (settled(job).error or "")
    assert inside.received == []


def test_a_slow_receiver_holds_up_nobody_else(receiver: Make, sending: Callable[..., object], hooked: Hooked) -> None:
    slow, quick = receiver(), receiver("127.0.0.2")
    slow.proceed.clear()
    for _ in range(6):
        hooked(slow.url)
    sending(webhook_timeout_seconds=30)
    slow.wait(4)
    for _ in range(6):
        hooked(quick.url)
    quick.wait(6)
    assert len(slow.received) == 4  # at once, of one host
    slow.proceed.set()
    slow.wait(6)


def test_dead_receivers_of_one_key_delay_no_other(
    receiver: Make, sending: Callable[..., object], hooked: Hooked, make_key: Callable[[], UUID]
) -> None:
    dead, alive = make_key(), make_key()
    with socket.create_server(("0.0.0.0", 0), backlog=AT_ONCE) as mute:  # takes connections, and says nothing
        port = mute.getsockname()[1]
        for number in range(2 * AT_ONCE):
            hooked(f"https://127.0.1.{number + 1}:{port}/", key_id=dead)
        sending(webhook_timeout_seconds=300)
        there = receiver()
        for number in range(1, 4):
            hooked(there.url, key_id=alive)
            there.wait(number)


def test_a_receiver_that_does_not_answer(
    receiver: Make, sending: Callable[..., object], hooked: Hooked, settled: Callable[[UUID], Delivery]
) -> None:
    there = receiver()
    there.proceed.clear()
    job = hooked(there.url)
    sending(webhook_timeout_seconds=0.5)
    assert "no answer within 0.5 s" in (settled(job).error or "")


def test_a_private_address_by_name_is_refused(
    receiver: Make, sending: Callable[..., Any], hooked: Hooked, settled: Callable[[UUID], Delivery], names: Any
) -> None:
    there = receiver(name="inside.example")
    names("inside.example", "127.0.0.1")
    job = hooked(f"https://inside.example:{there.port}/hook")
    sender = sending(webhook_allow="")
    assert "private or special address" in (settled(job).error or "")
    assert there.received == []
    until(lambda: sender.counted() == {"refused": 1})


def test_a_name_that_leads_inside_the_second_time_is_refused(
    database: Engine,
    receiver: Make,
    sending: Callable[..., object],
    hooked: Hooked,
    settled: Callable[[UUID], Delivery],
    names: Any,
) -> None:
    """127.0.0.2 plays the address that may be reached, 127.0.0.1 the one that may not."""
    outside = receiver("127.0.0.2", name="moving.example")
    inside = socket.create_server(("127.0.0.1", outside.port))
    asked = names("moving.example", "127.0.0.2", "127.0.0.1")
    url = f"https://moving.example:{outside.port}/hook"
    first = hooked(url)
    sending(webhook_allow="127.0.0.2/32")
    assert settled(first).state == "delivered"
    assert asked == ["127.0.0.2"]  # once: what was checked is what was connected to
    assert outside.received[0].headers["Host"] == f"moving.example:{outside.port}"
    second = hooked(url)
    assert "private or special address" in (settled(second).error or "")
    assert asked == ["127.0.0.2", "127.0.0.1"]
    inside.setblocking(False)
    with inside, pytest.raises(BlockingIOError):
        inside.accept()


def test_the_certificate_must_be_that_of_the_name(
    receiver: Make, sending: Callable[..., object], hooked: Hooked, settled: Callable[[UUID], Delivery], names: Any
) -> None:
    there = receiver(name="another.example")
    names("this.example", "127.0.0.1")
    job = hooked(f"https://this.example:{there.port}/hook")
    sending()
    assert "certificate" in (settled(job).error or "")
    assert there.received == []


def test_proxies_of_the_environment_are_not_used(
    receiver: Make, sending: Callable[..., object], hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = receiver()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    hooked(there.url)
    sending()
    assert json.loads(there.wait(1)[0].body)["type"] == "job.state"


def test_plain_http_only_where_it_is_allowed(
    database: Engine, receiver: Make, sending: Callable[..., Any], hooked: Hooked, settled: Callable[[UUID], Delivery]
) -> None:
    there = receiver(tls=False)
    job = hooked(there.url)
    refusing = sending()
    assert "must begin with https" in (settled(job).error or "")
    until(lambda: refusing.counted() == {"refused": 1})
    refusing.close()
    due_now(database)
    sending(webhook_http=True)
    there.wait(1)
