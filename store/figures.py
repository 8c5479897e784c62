"""Queries of metrics: statements for Session and AsyncSession alike, each answered by an index."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, func, select

from contract.words import Failure, Priority, State, Stopped
from store.tables import Delivery, Event, Job


def queue() -> Select[str, Priority, int, int, Any]:
    """(model, priority, jobs, unsent, oldest) of the queued jobs: how many there are, how many of them the broker does
    not have, and for how long the oldest has been queued, as an interval."""
    unsent = func.count().filter(Job.sent_at.is_(None))
    # The newest event is the one that queued the job. A refined job was created long before.
    oldest = func.max(func.now() - Job.updated_at)
    return (
        select(Job.model, Job.priority, func.count(), unsent, oldest)
        .where(Job.state == "queued")
        .group_by(Job.model, Job.priority)
    )


def running() -> Select[str, int]:
    """(model, jobs) of the running jobs."""
    return select(Job.model, func.count()).where(Job.state == "running").group_by(Job.model)


def deliveries() -> Select[int, Any]:
    """How many webhook deliveries are pending, and for how long the first of them has been due, as an interval, or
    None; negative if none is due yet."""
    return select(func.count(), func.max(func.now() - Delivery.due_at)).where(Delivery.state == "pending")


def ends(job_ids: Sequence[UUID]) -> Select[State, Stopped | None, Failure | None, str]:
    """(state, stopped, failure, model) of these jobs, for ``metrics.Ends``."""
    return select(Job.state, Job.stopped, Job.failure, Job.model).where(Job.id.in_(job_ids))


def refined(job_id: UUID) -> Select[bool]:
    """Whether a job has ended before, so that this run refines it."""
    return select(exists().where(Event.job_id == job_id, Event.kind == "done"))


def seconds(interval: timedelta | None) -> float:
    """An interval in seconds, at least 0; 0 for None."""
    return 0.0 if interval is None else max(0.0, interval.total_seconds())
