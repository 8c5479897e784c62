"""Submitting a job: into the database, and to the workers."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

from api.auth.caller import Caller
from api.jobs.lookup import existing
from api.limits.queued_jobs import check_room
from api.links import Links
from api.problems import IdempotencyKeyReused, Problem, QueueFull
from api.services import Services
from contract.fields import Generation, Handling, StoredWebhook
from contract.warnings import Warning, foreseen
from store import idempotency, inputs, logs, moves, tables
from store.idempotency import Once
from store.pictures import PictureId


class Submission(NamedTuple):
    """A job for a request. ``row`` is None if an earlier request with the same idempotency key made the job.
    ``warnings`` are about the request."""

    job: UUID
    row: moves.Submitted | None
    warnings: Sequence[Warning] = ()


class _LostRace(Exception):
    """Another request with the same idempotency key has made its job meanwhile."""


async def submit(
    services: Services,
    caller: Caller,
    links: Links,
    generation: Generation,
    handling: Handling,
    once: Once | None = None,
    changed: Sequence[Warning] = (),
    pictures: Mapping[str, bytes] | None = None,
) -> Submission:
    """Save a job of ``caller`` and have a worker called for it. A saved job is a promise: this does not fail any more
    then, and the janitor calls a worker later if the broker is away.

    Args:
        once: makes one job of all requests of this caller with the same idempotency key.
        changed: warnings about what was changed to fit the model.
        pictures: that the job starts from, by their digests; see ``api.pictures.intake``.

    Raises:
        IdempotencyKeyReused: the key of ``once`` belongs to another request.
        TooManyQueued: the caller has as many queued jobs as it may have.
        PicturesUnavailable: the pictures cannot be stored now.
        QueueFull: too many jobs are queued. Submissions at the same instant do not see each other, so there may be as
            many more as all API processes together have connections to the database.
    """
    once = once and once.by(caller.key_id)
    warnings = [*changed, *foreseen(generation, services.catalog[generation.model].terms)]
    while True:  # twice if a request with the same key comes at the same time
        if once and not once.newest and (made := await made_before(services, once)):
            logs.bind(job_id=str(made.id))
            return Submission(made.id, None)
        try:
            turns = services.intake if pictures else services.admission
            async with turns.turn():
                row = await _save(services, caller, links, generation, handling, warnings, once, pictures)
                await services.outbox.send(row.id)
        except _LostRace:
            continue
        services.metrics.submitted(generation.model, handling.priority)
        logs.bind(job_id=str(row.id))
        return Submission(row.id, row, warnings)


async def _save(
    services: Services,
    caller: Caller,
    links: Links,
    generation: Generation,
    handling: Handling,
    warnings: Sequence[Warning],
    once: Once | None,
    pictures: Mapping[str, bytes] | None,
) -> moves.Submitted:
    if handling.webhook:
        kept = StoredWebhook(**handling.webhook.model_dump(), base=links.base)
        handling = handling.model_copy(update={"webhook": kept})
    job, max_queued = uuid4(), services.settings.max_queued
    # A job alone is one statement. An API key adds the count of its jobs, an idempotency key a row of its own.
    sessions = services.single if once is None and caller.key is None and not pictures else services.moving
    try:
        async with sessions.begin() as session:
            stored = [await services.pictures.store(session, job, each) for each in (pictures or {}).values()]
            await check_room(session, caller, services.settings.max_queued_per_key)
            move = moves.submit(job, generation, handling, caller.key_id, max_queued, warnings)
            row = (await session.execute(move)).one_or_none()
            if row is None:
                raise QueueFull.of(max_queued, (await services.pacer.now(session)).retry_after)
            if stored:
                await session.execute(inputs.keep(job, stored))
                await session.execute(inputs.touch(caller.key_id, [each.sha256 for each in stored]))
            if once and await session.scalar(idempotency.remember(once, job)) is None:
                raise _LostRace
    except (Problem, _LostRace):
        if pictures:
            await asyncio.to_thread(services.pictures.delete, [PictureId(job, digest) for digest in pictures])
        raise
    return moves.Submitted(*row)


async def made_before(services: Services, once: Once, within_seconds: float | None = None) -> tables.Job | None:
    """The job that an earlier request made; None if there was none, or none within the last ``within_seconds``.

    Raises:
        IdempotencyKeyReused: the key belongs to another request.
    """
    async with services.reading.begin() as session:
        row = (await session.execute(idempotency.made(once, within_seconds))).one_or_none()
        if row is None:
            return None
        job, fingerprint = row
        if fingerprint != once.fingerprint:
            raise IdempotencyKeyReused(IdempotencyKeyReused.example)
        return await existing(session, job)
