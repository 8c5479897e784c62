"""The events of a job as they come, like `tail -f`: read from the database, by their number."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.live.subscriptions import POLL_SECONDS, Subscriptions
from store import reads
from store.outages import DATABASE_AWAY
from store.tables import Event

SILENCE = 15.0  # s without an event, after which a comment shows clients and proxies that the stream lives
BATCH = 100  # events of one query

log = logging.getLogger(__name__)


async def follow(subscriptions: Subscriptions, job: UUID, after: int = 0) -> AsyncGenerator[Event | None]:
    """Yield the events after number ``after``, until the job has ended or is deleted. Yield None after each
    ``SILENCE``, and while the database is away."""
    with subscriptions.subscribe(job) as subscription:
        while True:
            try:
                # Events never change, so that the query and the check for a deleted job need no common transaction.
                events = await subscriptions.single_flight.run(("events", job, after), _events(job, after), single=True)
            except DATABASE_AWAY as error:
                log.warning("a stream of job %s waits for PostgreSQL: %s", job, error)
                await asyncio.sleep(POLL_SECONDS)
                yield None
                continue
            for event in events or ():
                subscription.seen = after = event.seq
                yield event
            if events and len(events) == BATCH:
                continue
            # A refined job has ended more than once: the stream ends with the newest end.
            if events is None or (events and events[-1].kind == "done"):
                return
            while not await subscription.news(SILENCE):
                yield None


def _events(job: UUID, after: int) -> Callable[[AsyncSession], Awaitable[Sequence[Event] | None]]:
    async def query(session: AsyncSession) -> Sequence[Event] | None:
        events = (await session.scalars(reads.events(job, after, BATCH))).all()
        deleted = not events and await session.scalar(reads.job(job)) is None
        return None if deleted else events

    return query
