"""How a job gets from a request into the database and onto the queue."""

from dataclasses import replace
from typing import NamedTuple
from uuid import uuid4

from api.auth.caller import Caller
from api.limits.queued_jobs import make_sure_of_room
from api.links import Links
from api.problems import IdempotencyKeyReused, QueueFull
from api.services import Services
from api.surfaces.native import schemas, views
from contract.fields import Generation, Handling, StoredWebhook
from store import idempotency, logs, moves
from store.idempotency import Once


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
    """Save a job of ``caller``, and have a worker called for it. Once it is saved it is a promise: the answer is there,
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
            async with services.admission.one():
                job = await _save(services, caller, links, generation, handling, once)
        except _MadeMeanwhile:
            continue
        services.metrics.submitted(generation.model, handling.priority)
        logs.bind(job_id=str(job.id))
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
    # A job by itself is one statement. With a key it is counted first, and with an idempotency key remembered.
    sessions = services.single if once is None and caller.key is None else services.moving
    async with sessions.begin() as session:
        await make_sure_of_room(session, services, caller)
        move = moves.submit(job, generation, handling, caller.key_id, max_queued)
        row = (await session.execute(move)).one_or_none()
        if row is None:
            raise QueueFull.of(max_queued, (await services.pacer.now(session)).retry_after)
        if once and await session.scalar(idempotency.remember(once, job)) is None:
            raise _MadeMeanwhile
    await services.outbox.send(job)
    place = await services.queue_positions.of(job)
    pace = await services.pacer.lately(services.single)
    return views.queued(links, moves.Submitted(*row), generation, handling, place, pace)


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
