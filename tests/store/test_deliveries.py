"""The outbox: what is put into it, and who may take what out of it."""

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from contract.fields import Generation, Handling
from contract.words import EventKind
from store import deliveries, moves, saves
from store.tables import Delivery, Job
from tests.store.conftest import Driver

URL = "https://hooks.example/Path?token=a"


def claim(session: Session, *busy: str, seconds: float = 60) -> Any:
    row = session.execute(deliveries.claim(busy, seconds)).one_or_none()
    session.commit()
    return row


def settle(session: Session, claimed: Any, **how: Any) -> bool:
    values = {"state": "delivered", "status": 200, "error": None, **how}
    row = session.execute(deliveries.settle(claimed.id, claimed.attempts, **values)).one_or_none()
    session.commit()
    return row is not None


@pytest.fixture
def hooked(driver: Driver, generation: Callable[..., Generation]) -> Callable[..., UUID]:
    """Submits a job with a webhook for these kinds of events."""

    def submit(*kinds: str, url: str = URL) -> UUID:
        job_id = uuid4()
        handling = Handling.model_validate({"webhook": {"url": url, "events": list(kinds)}})
        driver.do(moves.submit(job_id, generation(), handling))
        return job_id

    return submit


def outbox(session: Session, job_id: UUID) -> list[tuple[Delivery, EventKind]]:
    return cast(Any, session.execute(deliveries.listed(job_id, 100)).all())


@pytest.mark.parametrize("kinds", [["done"], ["iterate"], ["state"], ["state", "iterate", "done"]])
def test_every_event_that_is_wanted_has_a_delivery(
    driver: Driver, hooked: Callable[..., UUID], kinds: list[str]
) -> None:
    job_id, plain = hooked(*kinds), driver.submit()
    for each in (job_id, plain):
        driver.do(moves.claim(each, "worker", 15))
        plan: Any = {"method": "srds", "blocks": 7, "predicted_rounds": 9, "predicted_evaluations": 20}
        saves.start_image(driver.session, each, 1, 0, **plan)
        driver.save(each)
        driver.save(each, iterate=1)
        driver.make_final(each, 1)
        driver.do(moves.succeed(each, 1, "converged"))
        driver.do(moves.refine(each, driver.generation(tolerance=0.0)))
        driver.do(moves.cancel(each))
    expected = [(event.seq, event.kind) for event in driver.events(job_id) if event.kind in kinds]
    assert [(row.seq, kind) for row, kind in outbox(driver.session, job_id)] == expected
    assert len(expected) == {"done": 2, "iterate": 3, "state": 4, "all": 9}[kinds[0] if len(kinds) == 1 else "all"]
    assert outbox(driver.session, plain) == []


def test_a_move_that_is_not_legal_tells_nobody(driver: Driver, hooked: Callable[..., UUID]) -> None:
    job_id = hooked("state", "done", "iterate")
    assert driver.do(moves.succeed(job_id, 1, "exact")) is None
    with pytest.raises(saves.LeaseLost):
        driver.save(job_id)
    assert len(outbox(driver.session, job_id)) == 1


def test_one_claim_takes_a_delivery(driver: Driver, hooked: Callable[..., UUID], database: Engine) -> None:
    job_id = hooked("state")
    with Session(database) as open_one, Session(database) as other:
        first = open_one.execute(deliveries.claim([], 60)).one()
        assert claim(other) is None  # its row is locked
        open_one.commit()
        assert claim(other) is None  # it is claimed
    assert (first.job_id, first.seq, first.attempts) == (job_id, 1, 1)
    assert (first.webhook["url"], first.host, first.webhook_secret) == (URL, "hooks.example", None)
    assert settle(driver.session, first)
    assert not settle(driver.session, first)
    assert claim(driver.session) is None
    (row, _), *_ = outbox(driver.session, job_id)
    assert (row.state, row.attempts, row.status, row.due_at, row.claimed_until) == ("delivered", 1, 200, None, None)


def test_a_claim_that_ran_out_is_somebody_elses(driver: Driver, hooked: Callable[..., UUID]) -> None:
    hooked("state")
    dead = claim(driver.session, seconds=-1)
    alive = claim(driver.session)
    assert (alive.id, alive.attempts) == (dead.id, 2)
    assert not settle(driver.session, dead, state="failed")
    assert settle(driver.session, alive)


def test_deliveries_of_a_job_wait_for_each_other_for_a_while(driver: Driver, hooked: Callable[..., UUID]) -> None:
    job_id, other = hooked("state", "done"), hooked("state")
    driver.do(moves.cancel(job_id))
    first = claim(driver.session)
    assert (first.job_id, first.seq) == (job_id, 1)
    assert claim(driver.session).job_id == other
    for attempt in range(1, deliveries.ORDERLY_ATTEMPTS):
        again = {"seconds": -1.0, "max_age_seconds": 60, "status": 500, "error": "answered 500"}
        driver.do(deliveries.retry(first.id, attempt, **again))
        first = claim(driver.session)
        assert first.seq == 1
    assert claim(driver.session).seq == 2  # this one need not wait for hours


def test_busy_hosts_are_left_alone(driver: Driver, hooked: Callable[..., UUID]) -> None:
    slow = hooked("state", url="https://SLOW.example:8443/a")
    quick = hooked("state", url="https://quick.example/b")
    assert claim(driver.session, "slow.example", "quick.example") is None
    assert claim(driver.session, "slow.example").job_id == quick
    assert claim(driver.session).job_id == slow


def test_an_old_delivery_is_not_tried_again(driver: Driver, hooked: Callable[..., UUID]) -> None:
    job_id = hooked("state")
    claimed = claim(driver.session)
    past = text("now() - interval '1 hour'")
    driver.do(update(Delivery).values(created_at=past).returning(Delivery.id))
    again = {"seconds": 5, "max_age_seconds": 1800, "status": None, "error": "no answer"}
    driver.do(deliveries.retry(claimed.id, 1, **again))
    (row, _), *_ = outbox(driver.session, job_id)
    assert (row.state, row.due_at, row.error) == ("failed", None, "no answer")


def test_a_disabled_webhook_fails_what_is_left_until_something_is_sent_again(
    driver: Driver, hooked: Callable[..., UUID]
) -> None:
    job_id = hooked("state", "done")
    for statement in deliveries.disable(job_id, "gone"):
        driver.session.execute(statement)
    driver.session.commit()
    driver.do(moves.cancel(job_id))
    assert [(row.state, row.error) for row, _ in outbox(driver.session, job_id)] == [("failed", "gone")] * 2
    assert claim(driver.session) is None
    second = outbox(driver.session, job_id)[1][0]
    for statement in deliveries.send_again(job_id, second.id):
        driver.session.execute(statement)
    driver.session.commit()
    assert claim(driver.session).id == second.id
    webhook = driver.session.scalars(select(Job.webhook).where(Job.id == job_id)).one()
    assert webhook == {"url": URL, "events": ["state", "done"]}


def test_sending_again_in_mid_attempt_takes_nothing_away(driver: Driver, hooked: Callable[..., UUID]) -> None:
    job_id = hooked("state")
    claimed = claim(driver.session)
    for statement in deliveries.send_again(job_id, claimed.id):
        driver.session.execute(statement)
    driver.session.commit()
    assert claim(driver.session) is None
    assert settle(driver.session, claimed)


def test_deliveries_go_with_their_job(driver: Driver, hooked: Callable[..., UUID]) -> None:
    job_id = hooked("state")
    driver.do(moves.cancel(job_id))
    driver.do(moves.delete(job_id))
    assert driver.session.scalars(select(Delivery)).all() == []
