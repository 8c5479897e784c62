"""Metrics that all processes share: the queue in the database, and the workers that announce themselves in Redis.

Every API process reports the same. They are read for a scrape, at most once in ``FRESH_SECONDS``, so that any number of
scrapes costs the database little.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

import redis.asyncio
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from store import figures, workers
from store.outages import REDIS_AWAY

FRESH_SECONDS = 5.0
TIMEOUT = 3.0  # s: a scrape must not fail because the database does not answer

log = logging.getLogger(__name__)


@dataclass
class _Queue:
    """What one reading of the database found."""

    queued: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    running: dict[str, int] = field(default_factory=dict[str, int])
    unsent: int = 0
    oldest: float = 0.0
    deliveries: int = 0
    overdue: float = 0.0


class Shared(Collector):
    """Collects what the last `refresh` found. A database or Redis that did not answer is left out."""

    def __init__(self, reading: async_sessionmaker[AsyncSession], client: redis.asyncio.Redis) -> None:
        self._reading = reading
        self._redis = client
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._queue: _Queue | None = None
        self._alive: tuple[int, int] | None = None

    async def refresh(self) -> None:
        """Read the database and Redis, unless that was done within ``FRESH_SECONDS``."""
        async with self._lock:
            if monotonic() < self._until:
                return
            self._queue, self._alive = await asyncio.gather(self._read_queue(), self._count_alive())
            self._until = monotonic() + FRESH_SECONDS

    async def _read_queue(self) -> _Queue | None:
        found = _Queue()
        try:
            async with asyncio.timeout(TIMEOUT), self._reading.begin() as session:
                for model, priority, jobs, unsent, oldest in await session.execute(figures.queue()):
                    found.queued[model, priority] = jobs
                    found.unsent += unsent
                    found.oldest = max(found.oldest, figures.seconds(oldest))
                found.running = dict((await session.execute(figures.running())).all())
                pending, overdue = (await session.execute(figures.deliveries())).one()
                found.deliveries, found.overdue = pending, figures.seconds(overdue)
        except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
            log.warning("no metrics of the queue, the database does not answer: %r", error)
            return None
        return found

    async def _count_alive(self) -> tuple[int, int] | None:
        """The number of workers, and of beats."""
        try:
            async with asyncio.timeout(TIMEOUT):
                return len(await workers.alive_async(self._redis)), len(await workers.alive_async(self._redis, "beat"))
        except REDIS_AWAY as error:
            log.warning("no metrics of the workers, Redis does not answer: %r", error)
            return None

    def collect(self) -> Iterable[Metric]:
        """The metrics, for Prometheus."""
        queue, alive = self._queue, self._alive
        yield _gauge("underpaint_database_up", "Whether the database answers.", float(queue is not None))
        yield _gauge("underpaint_redis_up", "Whether Redis or Valkey answers.", float(alive is not None))
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
        yield _gauge("underpaint_workers", "Workers that are there.", alive and alive[0])
        yield _gauge("underpaint_beats", "Beats that are there: processes with a janitor.", alive and alive[1])


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    """A gauge with one value, or with none if it is unknown."""
    family = GaugeMetricFamily(name, text)
    if value is not None:
        family.add_metric([], value)
    return family
