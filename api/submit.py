"""How a job gets from a request into the database and onto the queue."""

import logging
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID, uuid4

import anyio
from sqlalchemy.exc import SQLAlchemyError

from api import schemas, views
from api.auth.caller import Caller
from api.limits.queue import make_sure_of_room
from api.links import Links
from api.problems import IdempotencyKeyReused, QueueFull
from api.services import Services
from store import idempotency, logs, moves
from store.generation import Generation
from store.handling import Handling, StoredWebhook
from store.idempotency import Once
from tasks.queue import enqueue

# How long a client waits for a broker that does not answer, in seconds.
PATIENCE = 1.0

log = logging.getLogger(__name__)


class Submitted(NamedTuple):
    """A job, and whether an earlier request with the same idempotency key has made it."""

    job: schemas.Job
    replayed: bool


class _MadeMeanwhile(Exception):
    """Another request with the same idempotency key has made its job."""


async def submit(
    services: Services,
    caller: Caller,
    links: Links,
    generation: Generation,
    handling: Handling,
    once: Once | None = None,
) -> Submitted:
    """Save a job of ``caller``, then put it on the queue. Once it is saved it is a promise: the answer is there,
    whatever happens then is logged, and the janitor sends the job later.

    Raises:
        IdempotencyKeyReused: the key of ``once`` belongs to another request.
        TooManyQueued: as many jobs of the caller are queued as may be.
        QueueFull: too many jobs are waiting. Requests that are answered in the same instant do not see each other, so
            there may be as many more as all API processes have connections to the database.
    """
    if once and caller.key_id:
        once = replace(once, owner=caller.key_id)
    while True:  # once, unless a request with the same key comes at the same time
        if once and not once.newest and (job := await made_before(services, links, once)):
            return Submitted(job, replayed=True)
        try:
            job = await _save(services, caller, links, generation, handling, once)
        except _MadeMeanwhile:
            continue
        services.metrics.submitted(generation.model, handling.priority)
        logs.bind(job_id=str(job.id))
        await send(services, job.id)
        return Submitted(job, replayed=False)


async def _save(
    services: Services,
    caller: Caller,
    links: Links,
    generation: Generation,
    handling: Handling,
    once: Once | None,
) -> schemas.Job:
    if handling.webhook:
        kept = StoredWebhook(**handling.webhook.model_dump(), base=links.base)
        handling = handling.model_copy(update={"webhook": kept})
    job, max_queued = uuid4(), services.settings.max_queued
    async with services.moving.begin() as session:
        pace = await services.pacer.now(session)
        await make_sure_of_room(session, services, caller)
        move = moves.submit(job, generation, handling, caller.key_id, max_queued)
        if (await session.execute(move)).one_or_none() is None:
            raise QueueFull.of(max_queued, pace.retry_after)
        if once and await session.scalar(idempotency.remember(once, job)) is None:
            raise _MadeMeanwhile
        view, _ = await views.job(session, links, await views.existing(session, job), pace)
    return view


async def made_before(
    services: Services, links: Links, once: Once, within_seconds: float | None = None
) -> schemas.Job | None:
    """The job that an earlier request has made, as it stands now; None where there was none, ``within_seconds`` from
    now where that is given.

    Raises:
        IdempotencyKeyReused: the key belongs to another request.
    """
    async with services.reading.begin() as session:
        row = (await session.execute(idempotency.made(once, within_seconds))).tuples().one_or_none()
        if row is None:
            return None
        job, fingerprint = row
        if fingerprint != once.fingerprint:
            raise IdempotencyKeyReused(IdempotencyKeyReused.example)
        row, pace = await views.existing(session, job), await services.pacer.now(session)
        view, _ = await views.job(session, links, row, pace)
    return view


async def send(services: Services, job: UUID) -> None:
    """Put a queued job on the queue, and note it. Never fails: what is not sent is sent by the janitor."""
    try:
        if await _sent(services, job):
            async with services.moving.begin() as session:
                await session.execute(moves.mark_sent([job]))
    except SQLAlchemyError as error:
        log.warning("job %s was sent, but not marked so: %s", job, error)


async def _sent(services: Services, job: UUID) -> bool:
    with anyio.move_on_after(PATIENCE):
        try:
            # A thread that is given up on may still send the call: one too many does no harm.
            await anyio.to_thread.run_sync(enqueue, abandon_on_cancel=True, limiter=services.senders)
        except Exception as error:  # the job is saved: nothing that happens here may refuse it
            log.warning("job %s stays unsent for now: %s", job, error)
            return False
        return True
    log.warning("job %s stays unsent for now: the broker did not take it within %g s", job, PATIENCE)
    return False
