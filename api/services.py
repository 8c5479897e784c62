"""What the routes work with: made when the app starts, closed when it stops."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import redis.asyncio
from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.auth.keyring import Keyring
from api.encoding.marking import Marking
from api.limits.rate import Rates
from api.links import Links
from api.live.single_flight import READERS
from api.live.subscriptions import Subscriptions
from api.metrics.process import Metrics
from api.metrics.shared import Shared
from api.queue.admission import Admission
from api.queue.outbox import Outbox
from api.queue.pace import Pacer
from api.queue.queue_position import QueuePositions
from store.catalog import Catalog
from store.database import async_engine, async_sessions
from store.pictures import Pictures, open_pictures
from store.redis_clients import async_redis
from store.settings import ApiSettings, JobSettings, MetricsSettings, StoreSettings
from store.targets import Targets

# Submissions at once. More gain nothing, and delay all other requests: they take connections to the database, and turns
# of the event loop.
SUBMITTERS = 4


# After a full disk was met, so that probes of a load balancer see it. Nothing that only reads can find it.
FULL_SECONDS = 30.0


class Disk:
    """Whether the disk of the database was full lately."""

    def __init__(self) -> None:
        self._until = -math.inf

    def found_full(self) -> None:
        """A request could not be saved for want of room."""
        self._until = time.monotonic() + FULL_SECONDS

    @property
    def full(self) -> bool:
        """Whether that happened within ``FULL_SECONDS``."""
        return time.monotonic() < self._until


@dataclass(frozen=True)
class Services:
    """Everything that lasts as long as the app."""

    settings: ApiSettings
    catalog: Catalog
    moving: async_sessionmaker[AsyncSession]
    """Sessions for writing, and for one read after a write."""
    single: async_sessionmaker[AsyncSession]
    """Sessions in which each statement is a transaction of its own. A single statement takes one round trip to the
    database instead of three."""
    reading: async_sessionmaker[AsyncSession]
    """Sessions whose transactions see the database at one moment, so that several reads fit together."""
    pictures: Pictures
    marking: Marking
    """How pictures are sent."""
    upload_seconds: float
    """How long an upload is kept after it was used last."""
    redis: redis.asyncio.Redis
    disk: Disk
    subscriptions: Subscriptions
    keys: Keyring
    rates: Rates
    pacer: Pacer
    admission: Admission
    """For submissions."""
    intake: Admission
    """For uploads, and submissions with pictures: they may wait for an object store, and others do not wait for
    them."""
    outbox: Outbox
    queue_positions: QueuePositions
    targets: Targets
    """Where webhooks may go."""
    metrics_token: str | None
    metrics: Metrics
    shared: Shared
    """Metrics that all processes have in common."""


@asynccontextmanager
async def open_services(
    store: StoreSettings,
    settings: ApiSettings,
    catalog: Catalog,
    targets: Targets,
    metrics: Metrics,
    marking: Marking,
) -> AsyncIterator[Services]:
    """The services of one app. Database and Redis may still be away."""
    engine = async_engine(store.database_url)
    client = async_redis(store.redis_url)
    moving = async_sessions(engine)
    single = async_sessions(engine.execution_options(isolation_level="AUTOCOMMIT"))
    reading = async_sessions(engine.execution_options(isolation_level="REPEATABLE READ"))
    # A pool of their own: otherwise clients that follow a job would get no connection during a burst of requests.
    followers = async_engine(store.database_url, READERS + 1)  # one for the poll
    subscriptions = Subscriptions(
        client,
        reading,
        async_sessions(followers.execution_options(isolation_level="REPEATABLE READ")),
        async_sessions(followers.execution_options(isolation_level="AUTOCOMMIT")),
    )
    shared = Shared(reading, client)
    metrics.registry.register(shared)
    metrics.show_clients(subscriptions.clients)
    outbox, jobs = Outbox(single), JobSettings()
    pictures = open_pictures()
    try:
        async with subscriptions.running(), outbox.running():
            yield Services(
                settings=settings,
                catalog=catalog,
                moving=moving,
                single=single,
                reading=reading,
                pictures=pictures,
                marking=marking,
                upload_seconds=jobs.upload_retention_seconds,
                redis=client,
                disk=Disk(),
                subscriptions=subscriptions,
                keys=Keyring(moving, settings.exposed),
                rates=Rates(client),
                pacer=Pacer(client, jobs.max_running_per_key),
                admission=Admission(SUBMITTERS),
                intake=Admission(SUBMITTERS),
                outbox=outbox,
                queue_positions=QueuePositions(single, jobs.max_running_per_key),
                metrics_token=MetricsSettings().metrics_token,
                metrics=metrics,
                shared=shared,
                targets=targets,
            )
    finally:
        metrics.registry.unregister(shared)
        await asyncio.to_thread(pictures.close)
        await client.aclose()
        await followers.dispose()
        await engine.dispose()


async def _services(request: Request) -> Services:
    return request.state.services


WithServices = Annotated[Services, Depends(_services)]


async def _links(request: Request, services: WithServices) -> Links:
    return Links((services.settings.public_url or str(request.base_url)).rstrip("/"))


WithLinks = Annotated[Links, Depends(_links)]
