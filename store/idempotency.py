"""Repeated requests: which job the first of them has made.

The row is inserted in the transaction that makes the job. Of concurrent requests with one key, one makes a job and the
others find it, since an insert of the same key waits for the first to commit.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, literal, select
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert

from store.tables import IdempotencyKey, idempotency_keys

NOBODY = UUID(int=0)
"""The owner of requests without an API key."""


@dataclass(frozen=True)
class Once:
    """A request that makes one job, however often it is sent.

    Attributes:
        key: the client's name for it.
        fingerprint: of its content; see ``fingerprint``.
        owner: the id of the API key that it was sent with.
        newest: each request with this key makes a job, and replaces the one that was remembered before.
    """

    key: str
    fingerprint: str
    owner: UUID = NOBODY
    newest: bool = False

    def by(self, key_id: UUID | None) -> "Once":
        """The same request with this API key."""
        return replace(self, owner=key_id) if key_id else self


def fingerprint(operation: str, request: Mapping[str, Any]) -> str:
    """SHA-256 of a request's content in hexadecimal. The order of fields and fields that are null do not count."""
    given = {field: value for field, value in request.items() if value is not None}
    return sha256(json.dumps([operation, given], sort_keys=True).encode()).hexdigest()


def made(once: Once, within_seconds: float | None = None) -> Select[UUID, str]:
    """(job, fingerprint) of the remembered request, or nothing if there is none, or none ``within_seconds``."""
    theirs = select(IdempotencyKey.job_id, IdempotencyKey.fingerprint).where(
        IdempotencyKey.owner == once.owner, IdempotencyKey.key == once.key
    )
    return theirs if within_seconds is None else theirs.where(IdempotencyKey.created_at >= _ago(within_seconds))


def remember(once: Once, job_id: UUID) -> ReturningInsert[UUID]:
    """Remember the job that a request makes, in the same transaction. Returns its id, or nothing if another request
    with this key has made one: then roll back."""
    row = insert(idempotency_keys).values(owner=once.owner, key=once.key, fingerprint=once.fingerprint, job_id=job_id)
    if once.newest:
        again = {"fingerprint": once.fingerprint, "job_id": job_id, "created_at": func.now()}
        row = row.on_conflict_do_update(index_elements=["owner", "key"], set_=again)
    else:
        row = row.on_conflict_do_nothing()
    return row.returning(idempotency_keys.c.job_id)


def forget(once: Once, job_id: UUID) -> ReturningDelete[UUID]:
    """Forget a request if this is the job that it made."""
    keys = idempotency_keys.c
    theirs = (keys.owner == once.owner, keys.key == once.key, keys.job_id == job_id)
    return delete_from(idempotency_keys).where(*theirs).returning(keys.job_id)


def prune(older_than_seconds: float, limit: int = 1000) -> ReturningDelete[str]:
    """Forget up to ``limit`` requests that are older than this, oldest first. Returns their keys."""
    keys = idempotency_keys.c
    old = (
        select(keys.owner, keys.key)
        .where(keys.created_at < _ago(older_than_seconds))
        .order_by(keys.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    theirs = delete_from(idempotency_keys).where(keys.owner == old.c.owner, keys.key == old.c.key)
    return theirs.returning(keys.key)


def _ago(seconds: float) -> ColumnElement[datetime]:
    return func.now() - literal(timedelta(seconds=seconds))
