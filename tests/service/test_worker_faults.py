"""Workers that die, are stopped or freeze at the worst moment, and clients that follow their jobs meanwhile."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text

from tests.service.parts import Api
from tests.service.story import JOB, Story, Undisturbed
from tests.tasks.jobs import Jobs
from tests.tasks.outside import Fleet
from tests.until import PATIENCE, until


@contextmanager
def blocked(database: Engine, table: str) -> Iterator[None]:
    """Nobody writes to a table while the context lasts: who wants to waits, in the middle of a transaction."""
    with database.connect() as connection:
        connection.execute(text(f"lock table {table} in share mode"))
        yield


def wait_for_a_worker(database: Engine) -> None:
    """Return when a worker waits to write to a table that is blocked, in the middle of a statement of ``store.saves``:
    those begin so. The janitor, which prunes, waits there too."""
    query = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'WITH job AS%'")

    def waits() -> bool:
        with database.connect() as connection:
            return connection.scalar(query) == 1

    until(waits)


@pytest.fixture
def two(api: Api, fleet: Fleet) -> Fleet:
    """Two workers behind the API."""
    fleet.have(2)
    return fleet


@pytest.mark.slow
def test_killed_before_the_first_iterate(
    api: Api, two: Fleet, jobs: Jobs, database: Engine, undisturbed: Undisturbed, pool: ThreadPoolExecutor
) -> None:
    with two.frozen():  # so that the job is not claimed before the table is blocked
        story = Story(api, pool, api.submit(**JOB))
        with blocked(database, "images"):
            two.thaw()
            wait_for_a_worker(database)
            two.kill(story.worker(jobs))
    story.check(jobs, undisturbed, attempts=2, crashes=1)


@pytest.mark.slow
def test_killed_while_an_iterate_is_saved(
    api: Api, two: Fleet, jobs: Jobs, database: Engine, undisturbed: Undisturbed, pool: ThreadPoolExecutor
) -> None:
    with blocked(database, "iterates"):
        story = Story(api, pool, api.submit(**JOB))
        wait_for_a_worker(database)
        two.kill(story.worker(jobs))
    story.check(jobs, undisturbed, attempts=2, crashes=1)


def test_killed_after_an_iterate_is_saved(
    api: Api, two: Fleet, jobs: Jobs, database: Engine, undisturbed: Undisturbed, pool: ThreadPoolExecutor
) -> None:
    story = Story(api, pool, api.submit(**JOB))
    story.wait_for_iterate(0)
    two.kill(story.worker(jobs))
    story.check(jobs, undisturbed, attempts=2, crashes=0)


@pytest.mark.slow
def test_a_worker_that_is_stopped(
    api: Api, two: Fleet, jobs: Jobs, undisturbed: Undisturbed, pool: ThreadPoolExecutor
) -> None:
    story = Story(api, pool, api.submit(**JOB))
    story.wait_for_iterate(0)
    worker = two.child(story.worker(jobs))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    story.check(jobs, undisturbed, attempts=2, crashes=0)


@pytest.mark.slow
def test_frozen_in_the_middle_of_a_save_for_longer_than_its_lease(
    api: Api, two: Fleet, jobs: Jobs, database: Engine, undisturbed: Undisturbed, pool: ThreadPoolExecutor
) -> None:
    """It wakes up when another one has done its work, and writes nothing."""
    with blocked(database, "iterates"):
        story = Story(api, pool, api.submit(**JOB))
        wait_for_a_worker(database)
        sleeper = two.child(story.worker(jobs))
        sleeper.send_signal(signal.SIGSTOP)
    try:
        story.check(jobs, undisturbed, attempts=2, crashes=1)
    finally:
        sleeper.send_signal(signal.SIGCONT)
    lost = f"job {story.job} is no longer this worker's"
    until(lambda: lost in two.logs())
    story.check(jobs, undisturbed, attempts=2, crashes=1)
    # It is none the worse for it.
    after = [Story(api, pool, api.submit(steps=4, seed=seed)) for seed in range(4)]
    assert {each.events()[-1].data["state"] for each in after} == {"succeeded"}
    assert sleeper.poll() is None
