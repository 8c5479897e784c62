"""What all jobs of one worker process share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import psycopg
import redis
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from store.catalog import Catalog, load_catalog
from store.database import pooled, sync_engine, sync_sessions
from store.pictures import Pictures, open_pictures
from store.redis_clients import sync_redis
from store.settings import CatalogSettings, JobSettings, StoreSettings, WorkerSettings
from tasks.devices import devices
from tasks.engines import Engines
from tasks.leases import Lease, Leases, Stop
from tasks.memory import Memory, default_limit
from tasks.metrics import Metrics
from tasks.outages import transact

T = TypeVar("T")


@dataclass(frozen=True)
class Worker:
    """One worker process. `name` is what its claims and its presence name it by."""

    name: str
    concurrency: int
    settings: WorkerSettings
    jobs: JobSettings
    catalog: Catalog
    sessions: sessionmaker[Session]
    pictures: Pictures
    redis: redis.Redis
    engines: Engines
    leases: Leases
    metrics: Metrics = field(default_factory=Metrics)

    def close(self, seconds: float) -> None:
        """End the engines, for which it waits at most so long, and the connections of the store of pictures."""
        self.engines.close(seconds)
        self.pictures.close()

    def save(self, lease: Lease, work: Callable[[Session], T]) -> T:
        """Do `work` in a transaction, however long PostgreSQL or the store of pictures is away, unless the job is lost
        or the process must end.

        Raises:
            GaveUp: see `transact`.
        """
        return transact(
            self.sessions,
            work,
            hopeless=lambda: lease.stop is Stop.LOST or self.leases.overdue,
            what=f"job {lease.job_id}",
        )


def make_worker(name: str, concurrency: int) -> Worker:
    """A worker with the settings of the environment.

    Raises:
        ValueError: the settings or the catalogue are invalid; the message says which and why.
    """
    store, settings, jobs = StoreSettings(), WorkerSettings(), JobSettings()
    # A connection for every job, and one for the heartbeat, which must never wait for them.
    database = sync_engine(store.database_url, pool_size=concurrency + 1, ping=False)
    if not pooled():
        event.listen(database, "connect", partial(_end_idle_transactions, jobs.lease_seconds))
    metrics, leases = Metrics(), Leases()
    metrics.show_jobs(lambda: len(leases.all()), concurrency)
    return Worker(
        name,
        concurrency,
        settings,
        jobs,
        _served(settings),
        sync_sessions(database),
        open_pictures(),
        sync_redis(store.redis_url),
        Engines(settings.width, settings.device, metrics, Memory(_limit(settings)), settings.unload_seconds),
        leases,
        metrics,
    )


def _served(settings: WorkerSettings) -> Catalog:
    """The catalogue of the models that it runs."""
    catalog = load_catalog(CatalogSettings().catalog)
    names = [name.strip() for name in settings.models.split(",") if name.strip()]
    try:
        return catalog.only(names) if names else catalog
    except ValueError as error:
        raise ValueError(f"UNDERPAINT_MODELS: {error}") from error


def _limit(settings: WorkerSettings) -> int | None:
    if settings.model_memory_gib is not None:
        return int(settings.model_memory_gib * 2**30)
    return default_limit(devices(settings.device))


def _end_idle_transactions(seconds: float, connection: psycopg.Connection, _: object) -> None:
    """Make PostgreSQL end the transactions of a frozen worker: their locks would keep the janitor from its jobs."""
    connection.autocommit = True
    connection.execute(
        "select set_config('idle_in_transaction_session_timeout', %s, false)", [f"{int(seconds * 1000)} ms"]
    )
    connection.autocommit = False
