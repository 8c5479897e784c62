"""What cleans up or hands out passes over rows that others work on: it neither waits for them nor takes them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from contract.fields import Handling
from store import deliveries, idempotency, moves, retention
from store.idempotency import Once
from store.tables import Checkpoint, Delivery, IdempotencyKey, Iterate, Job
from tests.store.conftest import Driver

PAST = text("now() - interval '1 hour'")


def expired(driver: Driver) -> UUID:
    """A running job whose lease has run out."""
    job_id = driver.claimed()
    driver.expire(job_id)
    return job_id


def late(driver: Driver) -> UUID:
    """A queued job whose deadline has passed."""
    job_id = driver.submit()
    driver.do(update(Job).where(Job.id == job_id).values(deadline_at=PAST).returning(Job.id))
    return job_id


def finished(driver: Driver) -> UUID:
    """A job that ended an hour ago, with a preview, a newer picture and a checkpoint from then."""
    job_id = driver.claimed()
    driver.save(job_id, iterate=0)
    driver.save(job_id, iterate=1)
    driver.do(moves.succeed(job_id, 1, "converged"))
    driver.do(update(Job).where(Job.id == job_id).values(finished_at=PAST).returning(Job.id))
    for table in (Iterate, Checkpoint):
        driver.session.execute(update(table).where(table.job_id == job_id).values(created_at=PAST))
    driver.session.commit()
    return job_id


def remembered(driver: Driver) -> UUID:
    """A job whose request came an hour ago."""
    job_id = driver.submit()
    driver.do(idempotency.remember(Once("key", "fingerprint"), job_id))
    driver.session.execute(update(IdempotencyKey).values(created_at=PAST))
    driver.session.commit()
    return job_id


def hooked(driver: Driver) -> UUID:
    """A job of which an event is due at its webhook."""
    job_id = uuid4()
    handling = Handling.model_validate({"webhook": {"url": "https://hooks.example/", "events": ["state"]}})
    driver.do(moves.submit(job_id, driver.generation(), handling))
    return job_id


@pytest.mark.parametrize(
    ("made", "table", "statement"),
    [
        (expired, Job, lambda: moves.rescue(3)),
        (late, Job, moves.expire),
        (finished, Job, lambda: retention.prune(60)),
        (finished, Job, lambda: retention.prune_checkpoints(60)),
        (finished, Iterate, lambda: retention.prune_previews(60)),
        (remembered, IdempotencyKey, lambda: idempotency.prune(60)),
        (hooked, Delivery, lambda: deliveries.claim([], 60)),
    ],
    ids=["rescue", "expire", "prune", "prune checkpoints", "prune previews", "prune requests", "claim a delivery"],
)
def test_a_row_that_is_locked_is_passed_over_until_it_is_free(
    database: Engine, driver: Driver, made: Callable[[Driver], UUID], table: Any, statement: Callable[[], Any]
) -> None:
    mine, theirs = (made(driver) for _ in range(2)) if table is not IdempotencyKey else (made(driver), None)
    with Session(database) as other:
        locked = theirs or mine
        column = table.id if table is Job else table.job_id
        other.execute(select(table).where(column == locked).with_for_update())
        driver.session.execute(text("set local lock_timeout = '5s'"))  # instead of a wait until the test's end
        taken = driver.session.execute(statement()).all()
        driver.session.commit()
        assert len(taken) == (0 if theirs is None else 1)
    free = driver.session.execute(statement()).all()
    driver.session.commit()
    assert len(free) == 1
