"""Metrics of what is shared: the queue in the database, the workers that announce themselves in Redis.

Every API process tells the same of them. They are read when somebody asks, and not again for a while after that, so
that any number of scrapes costs the database little.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

import redis
import redis.asyncio
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from store import figures, workers

FRESH_SECONDS = 5.0
PATIENCE = 3.0  # s: a scrape must not fail because the database does not answer

log = logging.getLogger(__name__)


@dataclass
class _Queue:
    """One look at the database."""

    queued: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    running: dict[str, int] = field(default_factory=dict[str, int])
    unsent: int = 0
    oldest: float = 0.0
    deliveries: int = 0
    overdue: float = 0.0


class Shared(Collector):
    """Collects what `refresh` has found last; nothing of a database or Redis that did not answer."""

    def __init__(self, reading: async_sessionmaker[AsyncSession], client: redis.asyncio.Redis) -> None:
        self._reading = reading
        self._redis = client
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._queue: _Queue | None = None
        self._there: tuple[int, int] | None = None

    async def refresh(self) -> None:
        """Look again, unless somebody did so just now."""
        async with self._lock:
            if monotonic() < self._until:
                return
            self._queue, self._there = await asyncio.gather(self._look(), self._count())
            self._until = monotonic() + FRESH_SECONDS

    async def _look(self) -> _Queue | None:
        found = _Queue()
        try:
            async with asyncio.timeout(PATIENCE), self._reading.begin() as session:
                for model, priority, jobs, unsent, oldest in await session.execute(figures.queue()):
                    found.queued[model, priority] = jobs
                    found.unsent += unsent
                    found.oldest = max(found.oldest, figures.seconds(oldest))
                found.running = dict((await session.execute(figures.running())).all())
                pending, overdue = (await session.execute(figures.deliveries())).one()
                found.deliveries, found.overdue = pending, figures.seconds(overdue)
        except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
            log.warning("no metrics of the queue, the database cannot be asked: %r", error)
            return None
        return found

    async def _count(self) -> tuple[int, int] | None:
        """Of workers, and of beats."""
        try:
            async with asyncio.timeout(PATIENCE):
                return len(await workers.alive_async(self._redis)), len(await workers.alive_async(self._redis, "beat"))
        except (redis.RedisError, OSError) as error:
            log.warning("no metrics of the workers, Redis cannot be asked: %r", error)
            return None

    def collect(self) -> Iterable[Metric]:
        """What Prometheus is told."""
        queue, there = self._queue, self._there
        yield _gauge("underpaint_database_up", "Whether the database answers.", float(queue is not None))
        yield _gauge("underpaint_redis_up", "Whether Redis or Valkey answers.", float(there is not None))
        queued = GaugeMetricFamily("underpaint_queue_jobs", "Queued jobs.", labels=["model", "priority"])
        running = GaugeMetricFamily("underpaint_running_jobs", "Running jobs.", labels=["model"])
        for labels, count in ({} if queue is None else queue.queued).items():
            queued.add_metric(labels, count)
        for model, count in ({} if queue is None else queue.running).items():
            running.add_metric([model], count)
        yield queued
        yield running
        yield _gauge(
            "underpaint_queue_oldest_seconds",
            "For how long the oldest queued job has been queued; 0 where none is.",
            queue and queue.oldest,
        )
        yield _gauge(
            "underpaint_queue_unsent_jobs", "Queued jobs that the broker has not taken yet.", queue and queue.unsent
        )
        yield _gauge(
            "underpaint_webhook_deliveries_pending", "Webhook deliveries still to be made.", queue and queue.deliveries
        )
        yield _gauge(
            "underpaint_webhook_deliveries_overdue_seconds",
            "For how long the first pending webhook delivery has been due; 0 where none is.",
            queue and queue.overdue,
        )
        yield _gauge("underpaint_workers", "Workers that are there.", there and there[0])
        yield _gauge("underpaint_beats", "Beats that are there: processes with a janitor.", there and there[1])


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    """One number; none at all where it is not known."""
    family = GaugeMetricFamily(name, text)
    if value is not None:
        family.add_metric([], value)
    return family
