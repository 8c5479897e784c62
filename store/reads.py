"""Reads of jobs: statements for Session and AsyncSession alike.

Statements of one entity are read with ``session.scalars``, the others with ``session.execute`` or ``session.scalar``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, func, literal, or_, select, tuple_

from contract.words import SampledBy, State
from store import queue_order
from store.tables import Event, Image, Iterate, Job

# Moves bypass the objects of the session, so reads refresh those that it holds already.
FRESH = {"populate_existing": True}


class Position(NamedTuple):
    """The last job of a page. The next page has older ones."""

    created_at: datetime
    id: UUID


def job(job_id: UUID) -> Select[Job]:
    """One job, or nothing."""
    return select(Job).where(Job.id == job_id).execution_options(**FRESH)


def some(job_ids: Sequence[UUID]) -> Select[Job]:
    """Those of these jobs that exist."""
    return select(Job).where(Job.id.in_(job_ids)).execution_options(**FRESH)


def owner(job_id: UUID) -> Select[UUID | None]:
    """The id of the API key that owns a job, None if it has none; nothing if the job does not exist."""
    return select(Job.key_id).where(Job.id == job_id)


def origin(job_id: UUID, image: int) -> Select[int, SampledBy | None, dict[str, Any]]:
    """(seed, method, generation) of an image, or nothing."""
    return (
        select(Image.seed, Image.method, Job.generation)
        .join(Job, Job.id == Image.job_id)
        .where(Image.job_id == job_id, Image.number == image)
    )


def images(job_ids: Sequence[UUID]) -> Select[Image]:
    """The images of these jobs, by job and number."""
    return (
        select(Image).where(Image.job_id.in_(job_ids)).order_by(Image.job_id, Image.number).execution_options(**FRESH)
    )


def jobs(
    limit: int,
    after: Position | None = None,
    states: Sequence[State] = (),
    model: str | None = None,
    key_id: UUID | None = None,
) -> Select[Job]:
    """A page of jobs, newest first, of these states (empty: all), this model (None: all) and this API key (None: all).

    The next page is after ``Position(last.created_at, last.id)``.
    """
    query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit).execution_options(**FRESH)
    if after is not None:
        query = query.where(tuple_(Job.created_at, Job.id) < tuple_(literal(after.created_at), literal(after.id)))
    if states:
        query = query.where(Job.state.in_(states))
    if model is not None:
        query = query.where(Job.model == model)
    if key_id is not None:
        query = query.where(Job.key_id == key_id)
    return query


def queue_positions(job_ids: Sequence[UUID], max_running: int | None = None) -> Select[UUID, int]:
    """(id, position) of those of these jobs that are queued; 1 is the next to be claimed. See ``queue_order.line``.
    ``max_running``: how many jobs of a key without a limit of its own may run."""
    line = queue_order.line(max_running)
    return select(line.c.id, line.c.position).where(line.c.id.in_(job_ids))


def iterates(job_id: UUID) -> Select[Iterate]:
    """Every saved iterate of a job, by image and iterate, without the pictures."""
    return (
        select(Iterate)
        .where(Iterate.job_id == job_id)
        .order_by(Iterate.image, Iterate.iterate)
        .execution_options(**FRESH)
    )


def newest_picture(job_id: UUID, image: int) -> Select[int, str, bool]:
    """(iterate, etag, final) of the newest iterate of an image that has a picture, or nothing."""
    return (
        select(Iterate.iterate, func.coalesce(Iterate.etag, ""), Iterate.final)
        .where(Iterate.job_id == job_id, Iterate.image == image, Iterate.etag.is_not(None))
        .order_by(Iterate.iterate.desc())
        .limit(1)
    )


def picture(job_id: UUID, image: int, iterate: int) -> Select[int, str | None, bool]:
    """(iterate, etag, final) of one iterate, or nothing. ``etag`` is None if only its figures are kept."""
    key = and_(Iterate.job_id == job_id, Iterate.image == image, Iterate.iterate == iterate)
    return select(Iterate.iterate, Iterate.etag, Iterate.final).where(key)


def events(job_id: UUID, after: int = 0, limit: int = 1000) -> Select[Event]:
    """The events of a job that follow number ``after``, in order."""
    return select(Event).where(Event.job_id == job_id, Event.seq > after).order_by(Event.seq).limit(limit)


def seqs(job_ids: Sequence[UUID]) -> Select[UUID, int]:
    """(id, seq) of these jobs, as far as they exist."""
    return select(Job.id, Job.seq).where(Job.id.in_(job_ids))


def queue_depth() -> Select[int]:
    """How many jobs are queued."""
    return select(func.count()).select_from(Job).where(Job.state == "queued")


def unsent(grace_seconds: float = 2, limit: int = 1000) -> Select[UUID]:
    """Queued jobs for which the broker never accepted a message, oldest first.

    Skips jobs that changed within ``grace_seconds``: the process that queued them is about to send the message.
    """
    return _queued(limit).where(Job.sent_at.is_(None), Job.updated_at < _ago(grace_seconds))


def unsent_or_stale(resend_seconds: float, grace_seconds: float = 2, limit: int = 1000) -> Select[UUID]:
    """As ``unsent``, and the jobs that were sent longer ago than ``resend_seconds``. If the broker's queue is empty,
    their messages are lost."""
    never = and_(Job.sent_at.is_(None), Job.updated_at < _ago(grace_seconds))
    return _queued(limit).where(or_(never, Job.sent_at < _ago(resend_seconds)))


def _queued(limit: int) -> Select[UUID]:
    return select(Job.id).where(Job.state == "queued").order_by(Job.created_at, Job.id).limit(limit)


def _ago(seconds: float):
    return func.now() - literal(timedelta(seconds=seconds))
