"""Real worker processes, and what may happen to them."""

import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis

from store import moves, wakeups, workers
from store.redis_clients import sync_redis
from tasks.queue import QUEUE, QueueUnavailable, app, enqueue
from tests.tasks.inside import Reference
from tests.tasks.jobs import Jobs
from tests.tasks.outside import Broker, Fleet, pid_of
from tests.until import until

# Seconds of work on one slow core, an iterate every few rounds.
LONG: dict[str, Any] = {"steps": 48, "blocks": 6, "tolerance": 0.0, "max_iterations": 3}
ENDLESS: dict[str, Any] = {"steps": 300, "blocks": 6, "tolerance": 0.0}
FRUITLESS: dict[str, Any] = {"steps": 1000, "method": "serial", "previews": False}  # without an iterate before the end


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of this module's own, since tests kill it."""
    made = Broker(tmp_path_factory.mktemp("broker"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(app.conf, "broker_url", made.url)
        yield made
    made.kill()


@pytest.fixture(scope="module")
def fleet(postgres_url: str, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    settings = {
        "UNDERPAINT_DATABASE_URL": postgres_url,
        "UNDERPAINT_REDIS_URL": broker.url,
        "UNDERPAINT_LEASE_SECONDS": "3",
        "UNDERPAINT_HEARTBEAT_SECONDS": "0.5",
        "UNDERPAINT_RESEND_SECONDS": "2",
        "UNDERPAINT_MAX_CRASHES": "2",
    }
    made = Fleet(tmp_path_factory.mktemp("fleet"), broker, settings)
    yield made
    assert set(made.stop()) == {0}, made.logs()


@pytest.mark.slow
def test_a_job_that_is_sent_three_times_runs_once(jobs: Jobs, fleet: Fleet) -> None:
    fleet.have(2)
    job_id = jobs.submit(steps=12)
    for _ in range(3):
        enqueue()
    job = jobs.wait(job_id)
    assert (job.state, job.stopped, job.attempt, job.crashes) == ("succeeded", "converged", 1, 0)
    assert [event.seq for event in jobs.events(job_id)] == list(range(1, job.seq + 1))
    # A fourth message, much later.
    enqueue()
    later = jobs.submit(steps=4)
    enqueue()
    jobs.wait(later)
    assert jobs.get(job_id).seq == job.seq


def test_a_running_job_is_canceled(jobs: Jobs, fleet: Fleet, broker: Broker) -> None:
    fleet.have(1)
    job_id = jobs.submit(**ENDLESS)
    enqueue()
    jobs.wait_for_iterate(job_id, 0)
    jobs.do(moves.cancel(job_id))
    with sync_redis(broker.url) as client:
        wakeups.control(client, job_id)
    assert jobs.wait(job_id).state == "canceled"


def test_a_worker_that_is_told_to_stop_hands_its_jobs_back(jobs: Jobs, fleet: Fleet, reference: Reference) -> None:
    fleet.have(2)
    job_id = jobs.submit(**LONG)
    enqueue()
    jobs.wait_for_iterate(job_id, 1)
    first = fleet.child(jobs.get(job_id).worker)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    job = jobs.wait(job_id)
    assert (job.state, job.attempt, job.crashes) == ("succeeded", 2, 0)
    _, picture = reference.sample(**LONG)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 2


def test_a_killed_workers_job_goes_on_from_its_last_iterate(jobs: Jobs, fleet: Fleet, reference: Reference) -> None:
    fleet.have(2)
    before = fleet.statistics()
    job_id = jobs.submit(**LONG)
    enqueue()
    jobs.wait_for_iterate(job_id, 1)
    victim = fleet.child(jobs.get(job_id).worker)
    victim.kill()
    victim.wait()
    jobs.wait(job_id, lambda job: job.state == "queued" or job.attempt == 2)
    saved = jobs.iterates(job_id)
    job = jobs.wait(job_id)
    assert (job.state, job.attempt) == ("succeeded", 2)

    last, picture = reference.sample(**LONG)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 2
    newest = saved[-1].iterate
    assert [each.created_at for each in jobs.iterates(job_id)[: newest + 1]] == [each.created_at for each in saved]
    # What the second worker computed: less than all of it, and exactly what the first had not saved.
    (rescuer,) = [child.pid for child in fleet.workers if child.poll() is None]
    rest = jobs.images(job_id)[0].evaluations - saved[-1].evaluations
    assert rest < last.evaluations
    spent = before[rescuer].get("evaluations", 0) + rest
    until(
        lambda: fleet.statistics()[rescuer].get("evaluations") == spent,
        why=lambda: (fleet.statistics()[rescuer], spent),
    )


def test_jobs_outlive_the_broker(jobs: Jobs, fleet: Fleet, broker: Broker) -> None:
    fleet.have(1)
    running = jobs.submit(**LONG)
    enqueue()
    jobs.wait_for_iterate(running, 0)
    broker.kill()
    waiting = jobs.submit(steps=12)
    with pytest.raises(QueueUnavailable):
        enqueue()
    saved = len(jobs.iterates(running))
    jobs.wait_for_iterate(running, saved)  # it goes on meanwhile
    broker.start()
    for job_id in (running, waiting):
        job = jobs.wait(job_id)
        assert (job.state, job.attempt) == ("succeeded", 1)


def test_beat_is_seen_while_it_is_there(jobs: Jobs, fleet: Fleet, broker: Broker) -> None:
    def beats() -> list[int]:
        with sync_redis(broker.url) as client:
            return [pid_of(name) for name in workers.alive(client, "beat")]

    fleet.have(1)
    jobs.wait(jobs.submit(steps=4))  # by the janitor's call
    assert beats() == [fleet.beat.pid]
    with fleet.without_beat():
        assert beats() == []


def test_a_job_whose_workers_keep_dying_fails(jobs: Jobs, fleet: Fleet) -> None:
    """A frozen worker is as good as dead, until it wakes up and finds its job gone."""
    fleet.have(1)
    job_id = jobs.submit(**FRUITLESS)
    enqueue()
    for attempt in (1, 2):
        job = jobs.wait(job_id, lambda job, attempt=attempt: job.state == "running" and job.attempt == attempt)
        worker = fleet.child(job.worker)
        worker.send_signal(signal.SIGSTOP)
        try:
            job = jobs.wait(job_id, lambda job, attempt=attempt: job.crashes == attempt)
        finally:
            worker.send_signal(signal.SIGCONT)
    assert job.state == "failed"
    assert job.error is not None
    assert "died 2 times" in job.error
    # The worker is none the worse for it, and wrote nothing when it woke up.
    after = jobs.submit(steps=4)
    enqueue()
    assert jobs.wait(after).state == "succeeded"
    assert jobs.get(job_id).seq == job.seq


@pytest.mark.slow
def test_a_job_that_kills_its_workers_takes_no_other_with_it(jobs: Jobs, fleet: Fleet, broker: Broker) -> None:
    fleet.have(1)
    poison, innocent = jobs.submit(**FRUITLESS), jobs.submit(**LONG)
    enqueue()
    enqueue()
    jobs.wait(innocent, lambda job: job.state == "running")
    fleet.kill(str(jobs.wait(poison, lambda job: job.state == "running").worker))
    jobs.wait(poison, lambda job: job.crashes == 1)
    jobs.wait(innocent, lambda job: job.state == "queued")
    fleet.have(1)
    enqueue()
    enqueue()
    again = jobs.wait(poison, lambda job: job.state == "running")
    with redis.Redis.from_url(broker.url) as client:
        until(lambda: client.llen(QUEUE) == 0)  # the worker has looked for more
    assert jobs.get(innocent).state == "queued"
    fleet.kill(str(again.worker))
    assert jobs.wait(poison).failure == "crashes"
    fleet.have(1)
    ended = jobs.wait(innocent)
    assert (ended.state, ended.attempt) == ("succeeded", 2)
