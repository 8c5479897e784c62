"""The recent throughput of the queue, from the times of jobs."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from store import moves, pace
from store.tables import Job
from tests.store.conftest import Driver


@pytest.fixture
def now(driver: Driver) -> datetime:
    """The time of the database when the test begins."""
    return driver.session.execute(select(func.now())).scalar_one()


def run(driver: Driver, now: datetime, began: int, ended: int) -> None:
    """A job that ran from ``began`` to ``ended``, in seconds before ``now``."""
    job_id = driver.claimed()
    driver.do(moves.succeed(job_id, 1, "exact"))
    times = {"claimed_at": now - timedelta(seconds=began), "finished_at": now - timedelta(seconds=ended)}
    driver.do(update(Job).where(Job.id == job_id).values(times).returning(Job.id))


def measured(driver: Driver) -> tuple[int, float | None, int]:
    jobs, seconds, running = driver.session.execute(pace.pace()).one()
    driver.session.commit()
    return jobs, seconds and float(seconds), running


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([(60, 40), (30, 10)], 40),  # one after the other, with a pause
        ([(60, 40), (50, 30)], 30),  # they overlap
        ([(60, 20), (50, 40)], 40),  # one within the other
        ([(60, 20), (50, 40), (30, 10)], 50),
    ],
)
def test_time_in_which_several_jobs_ran_counts_once(
    driver: Driver, now: datetime, spans: list[tuple[int, int]], seconds: float
) -> None:
    for began, ended in spans:
        run(driver, now, began, ended)
    assert measured(driver) == (len(spans), pytest.approx(seconds, abs=1e-3), 0)


def test_only_recent_successes_count(driver: Driver, now: datetime) -> None:
    assert measured(driver) == (0, None, 0)
    run(driver, now, 20, 10)
    run(driver, now, 4000, 3601)
    driver.do(moves.fail(driver.claimed(), 1, "broken", "model"))
    driver.claimed()
    assert measured(driver) == (1, pytest.approx(10, abs=1e-3), 1)


def test_only_the_newest_jobs_count(driver: Driver, now: datetime) -> None:
    for _ in range(pace.JOBS):
        run(driver, now, 20, 10)
    run(driver, now, 300, 200)
    assert measured(driver) == (pace.JOBS, pytest.approx(10, abs=1e-3), 0)
