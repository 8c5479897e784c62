"""The janitor: rescues jobs of dead workers, resends lost messages, and deletes old data.

It runs in the process of Celery beat, not as a task of a worker. The threads of workers are busy with jobs for minutes,
a message to them would wait for these (and pile up while the broker is away), and if no worker is left, its jobs would
never be rescued. Several janitors do no harm: every change is a conditional update, and each takes other rows.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from math import inf
from typing import Any

import redis
from celery.beat import ScheduleEntry, Scheduler
from celery.platforms import signals
from celery.utils.log import get_logger
from sqlalchemy.orm import Session, sessionmaker

from store import figures, idempotency, inputs, moves, reads, retention, wakeups, workers
from store.database import sync_engine, sync_sessions
from store.outages import DATABASE_AWAY, REDIS_AWAY
from store.pictures import PictureId, Pictures, open_pictures, redis_cache
from store.redis_clients import sync_redis
from store.redis_kinds import drop_wrong, is_wrong_kind
from store.settings import JobSettings, MetricsSettings, StoreSettings, WebhookSettings
from tasks.dispatch import send
from tasks.metrics_janitor import JanitorMetrics
from tasks.metrics_server import serve
from tasks.outages import Outage
from tasks.queue import QUEUE, SWEEP, app
from tasks.webhooks.service import Service

log = get_logger(__name__)


# A clock that nobody sets, and that goes on while the machine sleeps (on macOS CLOCK_MONOTONIC does).
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds since some moment, also while the machine slept, however its clock was set meanwhile."""
    return time.clock_gettime(_CLOCK)


class Clock(Scheduler):
    """Celery beat's scheduler, for tasks that run in this process instead of being sent to a worker.

    Celery's own schedule goes by the time of day: after the clock was set back it would wait for as long.
    """

    producer: Any = None  # nothing is sent, so no broker is needed
    _webhooks: Service | None = None
    _ending = False
    _due: Mapping[str, float] = {}

    def setup_schedule(self) -> None:
        """Called once, before the first tick. This process also sends webhooks."""
        super().setup_schedule()
        signals.update(SIGTERM=self.end, SIGINT=self.end)
        settings = MetricsSettings()
        serve(_metrics().registry, settings.metrics_host, settings.beat_metrics_port)
        self._webhooks = Service(StoreSettings(), WebhookSettings(), _metrics())
        self._webhooks.start()

    def end(self, signum: int, frame: object) -> None:
        """End beat, on a signal. It interrupts a sweep that waits for PostgreSQL.

        Celery's own handler closes the scheduler as well. Inside a signal handler that can wait for a lock which the
        interrupted sweep holds.

        Raises:
            SystemExit: always. Beat closes the scheduler then.
        """
        self._ending = True
        raise SystemExit

    def tick(self, *args: Any, **options: Any) -> float:
        """See `Scheduler.tick`. Code that a signal interrupts may swallow SystemExit (a finalizer, a callback from C):
        beat ends here then."""
        if self._ending:
            raise SystemExit
        now = elapsed()
        entries: dict[str, ScheduleEntry] = self.schedule or {}
        due = {name: self._due.get(name, now) for name in entries}
        for name, entry in entries.items():
            if due[name] <= now:
                self.apply_entry(entry)
                due[name] = now + entry.schedule.seconds  # pyright: ignore
        self._due = due
        return max(0.0, min(due.values(), default=now + 1.0) - elapsed())

    def close(self) -> None:
        """Called when beat ends."""
        if self._webhooks:
            self._webhooks.stop()
        _janitor().leave()
        super().close()

    def apply_entry(self, entry: ScheduleEntry, producer: object = None) -> None:
        """Run a task that is due."""
        try:
            self.app.tasks[entry.task]()
        except Exception:
            log.exception("%s failed", entry.task)


@app.task(name=SWEEP)
def sweep() -> None:
    """Sweep."""
    _janitor().sweep()


class Janitor:
    """Rescues the jobs of dead workers, sends messages that the broker does not have, and deletes old data."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        pictures: Pictures,
        client: redis.Redis,
        settings: JobSettings,
        metrics: JanitorMetrics | None = None,
        name: str = "beat",
        now: Callable[[], float] = elapsed,
    ) -> None:
        """`name`: of the process, as it announces itself. `now`: seconds, by a clock that nobody sets and that goes on
        while the machine sleeps."""
        self._sessions = sessions
        self._pictures = pictures
        self._redis = client
        self._settings = settings
        self._metrics = metrics or JanitorMetrics()
        self._name = name
        self._database = Outage(log, "PostgreSQL is away: %s", "PostgreSQL is back")
        self._presence = Outage(log, "nobody sees this beat while Redis is away: %s", "this beat is seen again")
        self._now = now
        self._swept = inf
        self._rescue_from = -inf

    def sweep(self) -> None:
        """Do everything once, as far as PostgreSQL and Redis are available; announce this janitor before and after."""
        self.announce()
        self._sweep()
        self.announce()

    def leave(self) -> None:
        """End the announcement of this process now, and the connections of the store of pictures."""
        self._pictures.close()
        try:
            workers.withdraw(self._redis, self._name, "beat")
        except REDIS_AWAY as error:
            log.warning("presence not withdrawn, it expires: %s", error)

    def announce(self) -> None:
        """Announce this process for the next three heartbeats."""
        # An age, not a time, since clocks differ.
        ago = None if self._swept == inf else self._now() - self._swept
        info = {"version": version("underpaint"), "swept_seconds_ago": ago}
        try:
            workers.announce(self._redis, self._name, info, 3 * self._settings.heartbeat_seconds, "beat")
        except REDIS_AWAY as error:
            self._presence.failed(error)
        else:
            self._presence.succeeded()

    def _sweep(self) -> None:
        now = self._now()
        if now - self._swept > 2 * self._settings.heartbeat_seconds:
            # PostgreSQL was away, or the machine slept. Workers could not renew either: those that live do so first.
            self._rescue_from = now + self._settings.lease_seconds
        try:
            if now >= self._rescue_from:
                self.rescue()
            self.expire()
            self.resend()
            self.prune()
        except DATABASE_AWAY as error:
            self._database.failed(error)
        else:
            self._database.succeeded()
            self._swept = now
            self._metrics.swept.set_to_current_time()

    def rescue(self) -> None:
        """End expired leases: their jobs are queued again, or fail if that has happened too often."""
        with self._sessions.begin() as session:
            session.execute(moves.shorten_leases(self._settings.lease_seconds))
            rescued = session.execute(moves.rescue(self._settings.max_crashes)).all()
            ends = session.execute(figures.ends([row.id for row in rescued])).all()
        for end in ends:
            self._metrics.rescued.labels(end[0]).inc()
            self._metrics.ends.count(*end)
        for job_id, seq, state, attempt in rescued:
            log.warning("job %s: the lease of attempt %d ran out, it is %s now", job_id, attempt, state)
            wakeups.publish(self._redis, job_id, seq)
        send(self._sessions, [job_id for job_id, _, state, _ in rescued if state == "queued"])

    def expire(self) -> None:
        """Fail the jobs whose deadline has passed, queued or running, and notify the workers of running ones."""
        with self._sessions.begin() as session:
            expired = session.execute(moves.expire()).all()
            ends = session.execute(figures.ends([row.id for row in expired])).all()
        for end in ends:
            self._metrics.ends.count(*end)
        for job_id, seq, state, _ in expired:
            log.info("job %s: its deadline has passed, it is %s now", job_id, state)
            wakeups.control(self._redis, job_id)
            wakeups.publish(self._redis, job_id, seq)

    def resend(self) -> None:
        """Send messages for jobs that were never sent, and for those that are still queued long after they were."""
        try:
            # While messages are in the queue, workers will look for work. If it is empty, an old message is lost.
            empty = self._redis.llen(QUEUE) == 0
        except REDIS_AWAY as error:
            if not is_wrong_kind(error):
                return  # no broker to send to
            drop_wrong(self._redis, {QUEUE: "list"})
            empty = True
        query = reads.unsent_or_stale(self._settings.resend_seconds) if empty else reads.unsent()
        with self._sessions() as session:
            job_ids = session.scalars(query).all()
        if job_ids and (sent := send(self._sessions, job_ids)):
            self._metrics.resent.inc(sent)
            log.info("sent %d of %d jobs that were queued but not with the broker", sent, len(job_ids))

    def prune(self) -> None:
        """Delete jobs, previews, checkpoints, uploads and idempotency keys whose retention has passed, then their
        pictures."""
        with self._sessions.begin() as session:
            uploads = session.execute(inputs.prune(self._settings.upload_retention_seconds)).all()
            pruned = session.execute(retention.prune(self._settings.retention_seconds)).all()
            states = session.execute(retention.prune_checkpoints(self._settings.checkpoint_retention_seconds)).all()
            previews = session.execute(retention.prune_previews(self._settings.preview_retention_seconds)).all()
            session.execute(idempotency.prune(self._settings.idempotency_seconds))
        dropped = [PictureId(job_id, etag) for job_id, etags in pruned for etag in etags]
        dropped += [PictureId(owner, digest) for owner, digest in [*previews, *states, *uploads] if digest]
        self._pictures.delete(dropped)
        self._pictures.sweep()
        for job_id, _ in pruned:
            redis_cache.drop(self._redis, job_id)
        if pruned:
            self._metrics.pruned.inc(len(pruned))
            log.info("deleted %d old jobs", len(pruned))


@cache
def _janitor() -> Janitor:
    store = StoreSettings()
    sessions = sync_sessions(sync_engine(store.database_url, pool_size=1))
    name = f"{socket.gethostname()}/{os.getpid()}"
    return Janitor(sessions, open_pictures(), sync_redis(store.redis_url), JobSettings(), _metrics(), name)


@cache
def _metrics() -> JanitorMetrics:
    return JanitorMetrics()
