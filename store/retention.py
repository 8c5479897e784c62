"""Removing what is old enough. The caller commits; several janitors share the work."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, select, tuple_, update
from sqlalchemy import delete as delete_from
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

from contract.words import TERMINAL
from store.tables import checkpoints, images, iterates, jobs


def prune(older_than_seconds: float, limit: int = 100) -> ReturningDelete[UUID]:
    """Remove up to ``limit`` jobs that finished longer ago than this, oldest first. Returns their ids."""
    old = (
        select(jobs.c.id)
        .where(jobs.c.finished_at < _ago(older_than_seconds))
        .order_by(jobs.c.finished_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    return delete_from(jobs).where(jobs.c.id.in_(select(old.c.id))).returning(jobs.c.id)


def prune_checkpoints(older_than_seconds: float, limit: int = 100) -> ReturningDelete[UUID]:
    """Remove the checkpoints of up to ``limit`` finished jobs that were saved longer ago than this: they cannot be
    refined any more. Returns the ids of the jobs, one for each checkpoint."""
    old = select(checkpoints.c.job_id).where(checkpoints.c.created_at < _ago(older_than_seconds))
    finished = (
        select(jobs.c.id)
        .where(jobs.c.id.in_(old), jobs.c.state.in_(TERMINAL))
        .limit(limit)
        .with_for_update(skip_locked=True)  # a job that is being refined needs them
        .cte("finished")
    )
    theirs = delete_from(checkpoints).where(checkpoints.c.job_id.in_(select(finished.c.id)))
    return theirs.returning(checkpoints.c.job_id)


def prune_previews(older_than_seconds: float, limit: int = 1000) -> ReturningUpdate[UUID]:
    """Remove up to ``limit`` pictures of jobs that finished longer ago than this, and keep their figures. The final
    picture of an image stays, and its newest one, which is all that a job that was stopped has. Returns the ids of the
    jobs, one for each picture."""
    key = (iterates.c.job_id, iterates.c.image, iterates.c.iterate)
    age = _ago(older_than_seconds)
    old = (
        select(*key)
        .join(jobs, jobs.c.id == iterates.c.job_id)
        .join(images, (images.c.job_id == iterates.c.job_id) & (images.c.number == iterates.c.image))
        .where(
            # The first line finds them by index: what a job saved is older than its end.
            *(iterates.c.created_at < age, iterates.c.etag.is_not(None), ~iterates.c.final),
            jobs.c.finished_at < age,
            iterates.c.iterate < images.c.iterate,
        )
        .order_by(iterates.c.created_at)
        .limit(limit)
        .with_for_update(of=iterates, skip_locked=True)
        .cte("old")
    )
    chosen = tuple_(*key).in_(select(old.c.job_id, old.c.image, old.c.iterate))
    return update(iterates).where(chosen).values(picture=None, etag=None).returning(iterates.c.job_id)


def _ago(seconds: float) -> ColumnElement[Any]:
    return func.now() - literal(timedelta(seconds=seconds))
