"""Requests that are remembered: of whom, for how long, and which of two with one key counts."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update

from store import idempotency
from store.idempotency import Once
from store.tables import IdempotencyKey
from tests.store.conftest import Driver

ONCE = Once("key", "fingerprint", uuid4())
OTHERS = [replace(ONCE, key="another"), replace(ONCE, owner=uuid4()), replace(ONCE, owner=idempotency.NOBODY)]


def found(driver: Driver, once: Once, within_seconds: float | None = None) -> Any:
    return driver.do(idempotency.made(once, within_seconds))


def remember(driver: Driver, once: Once, **fields: Any) -> UUID:
    job_id = driver.submit(**fields)
    assert driver.do(idempotency.remember(once, job_id)) == (job_id,)
    return job_id


def age(driver: Driver, once: Once, seconds: int) -> None:
    """Let a request have come so long ago."""
    mine = (IdempotencyKey.owner == once.owner, IdempotencyKey.key == once.key)
    earlier = IdempotencyKey.created_at - text(f"interval '{seconds} seconds'")
    driver.do(update(IdempotencyKey).where(*mine).values(created_at=earlier).returning(IdempotencyKey.key))


@pytest.mark.parametrize("other", OTHERS, ids=["another key", "another owner", "no owner"])
def test_a_request_is_remembered_with_its_key_and_its_owner(driver: Driver, other: Once) -> None:
    mine = remember(driver, ONCE)
    assert found(driver, other) is None
    theirs = remember(driver, other)
    assert found(driver, ONCE) == (mine, "fingerprint")
    assert found(driver, other) == (theirs, "fingerprint")


def test_the_first_of_two_requests_with_one_key_counts(driver: Driver) -> None:
    first, second = remember(driver, ONCE), driver.submit()
    assert driver.do(idempotency.remember(replace(ONCE, fingerprint="another"), second)) is None
    assert found(driver, ONCE) == (first, "fingerprint")


def test_where_the_newest_counts_it_takes_the_place_of_the_one_before(driver: Driver) -> None:
    remember(driver, ONCE)
    age(driver, ONCE, 60)
    newest = replace(ONCE, fingerprint="another", newest=True)
    second = remember(driver, newest)
    assert found(driver, ONCE, 30) == (second, "another")


def test_a_request_is_found_only_while_it_is_recent_enough(driver: Driver) -> None:
    job_id = remember(driver, ONCE)
    age(driver, ONCE, 60)
    assert found(driver, ONCE, 50) is None
    assert found(driver, ONCE, 3600) == found(driver, ONCE) == (job_id, "fingerprint")


def test_only_the_job_that_a_request_is_remembered_with_is_forgotten(driver: Driver) -> None:
    mine = remember(driver, ONCE)
    theirs = remember(driver, OTHERS[1])
    assert driver.do(idempotency.forget(ONCE, driver.submit())) is None
    assert driver.do(idempotency.forget(ONCE, theirs)) is None
    assert driver.do(idempotency.forget(ONCE, mine)) == (mine,)
    assert found(driver, ONCE) is None
    assert found(driver, OTHERS[1]) == (theirs, "fingerprint")


def test_old_requests_are_pruned_oldest_first(driver: Driver) -> None:
    for n, once in enumerate([ONCE, *OTHERS]):
        remember(driver, once)
        age(driver, once, 60 * n)
    (oldest,) = driver.session.scalars(idempotency.prune(50, limit=1))
    driver.session.commit()
    assert oldest == OTHERS[2].key
    assert found(driver, OTHERS[2]) is None
    assert len(driver.session.scalars(idempotency.prune(50)).all()) == 2
    driver.session.commit()
    assert [found(driver, once) is None for once in (ONCE, *OTHERS)] == [False, True, True, True]


def test_the_order_of_fields_and_null_ones_do_not_count_in_a_fingerprint() -> None:
    of = idempotency.fingerprint
    assert of("submit", {"a": 1, "b": [2], "c": None}) == of("submit", {"b": [2], "a": 1})
    differing = [of("submit", {"a": 1}), of("refine", {"a": 1}), of("submit", {"a": 2}), of("submit", {"a": 0})]
    assert len(set(differing)) == 4
    assert all(len(each) == 64 for each in differing)
