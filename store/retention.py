"""Deletion of old data. The caller commits, and then deletes the pictures that lost a reference.

Several janitors can run these statements at once: each takes other rows.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Text, and_, func, literal, select, union_all, update
from sqlalchemy import delete as delete_from
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

from contract.words import TERMINAL
from store.tables import checkpoints, images, inputs, iterates, jobs


def prune(older_than_seconds: float, limit: int = 100) -> ReturningDelete[UUID, Sequence[str]]:
    """Delete up to ``limit`` jobs that finished longer ago than this, oldest first. Returns (id, digests of its
    pictures and checkpoints) for each."""
    old = (
        select(jobs.c.id)
        .where(jobs.c.finished_at < _ago(older_than_seconds))
        .order_by(jobs.c.finished_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    return delete_from(jobs).where(jobs.c.id.in_(select(old.c.id))).returning(jobs.c.id, etags_of_job())


def prune_checkpoints(older_than_seconds: float, limit: int = 100) -> ReturningDelete[UUID, str | None]:
    """Delete the checkpoints that were saved longer ago than this, of up to ``limit`` finished jobs, which cannot be
    refined any more then. Returns (job_id, sha256) of each checkpoint."""
    old = select(checkpoints.c.job_id).where(checkpoints.c.created_at < _ago(older_than_seconds))
    finished = (
        select(jobs.c.id)
        .where(jobs.c.id.in_(old), jobs.c.state.in_(TERMINAL))
        .limit(limit)
        .with_for_update(skip_locked=True)  # a refinement in progress needs them
        .cte("finished")
    )
    theirs = delete_from(checkpoints).where(checkpoints.c.job_id.in_(select(finished.c.id)))
    return theirs.returning(checkpoints.c.job_id, checkpoints.c.sha256)


def prune_previews(older_than_seconds: float, limit: int = 1000) -> ReturningUpdate[UUID, str]:
    """Drop up to ``limit`` pictures of jobs that finished longer ago than this, and keep their figures. The final
    picture of an image stays, and so does its newest one, since a canceled job has no final one. Returns (job_id, etag)
    for each row that was changed; other rows of the job may refer to an equal picture."""
    key = (iterates.c.job_id, iterates.c.image, iterates.c.iterate)
    age = _ago(older_than_seconds)
    old = (
        select(*key, iterates.c.etag)
        .join(jobs, jobs.c.id == iterates.c.job_id)
        .join(images, (images.c.job_id == iterates.c.job_id) & (images.c.number == iterates.c.image))
        .where(
            # The first line is for the index: the iterates of a job are older than its end.
            *(iterates.c.created_at < age, iterates.c.etag.is_not(None), ~iterates.c.final),
            jobs.c.finished_at < age,
            iterates.c.iterate < images.c.iterate,
        )
        .order_by(iterates.c.created_at)
        .limit(limit)
        .with_for_update(of=iterates, skip_locked=True)
        .cte("old")
    )
    chosen = and_(*(column == old.c[column.name] for column in key))
    return update(iterates).where(chosen).values(picture=None, etag=None).returning(old.c.job_id, old.c.etag)


def etags_of_job() -> ColumnElement[Sequence[str]]:
    """In a statement that deletes rows of ``jobs``: the digests of the pictures, inputs and checkpoints that each job
    refers to."""
    etags = select(iterates.c.etag).where(iterates.c.job_id == jobs.c.id, iterates.c.etag.is_not(None))
    states = select(checkpoints.c.sha256).where(checkpoints.c.job_id == jobs.c.id, checkpoints.c.sha256.is_not(None))
    given = select(inputs.c.sha256).where(inputs.c.job_id == jobs.c.id)
    all_of_it = union_all(*(each.correlate(jobs) for each in (etags, states, given)))
    return func.array(all_of_it.scalar_subquery(), type_=ARRAY(Text)).label("etags")


def _ago(seconds: float) -> ColumnElement[Any]:
    return func.now() - literal(timedelta(seconds=seconds))
