"""Pictures that clients send: uploads, which a job may name, and the inputs of jobs, which are theirs until they end.

An upload belongs to the API key that sent it and is named by the SHA-256 of its bytes, which are always a PNG: the same
picture sent twice is one. A job keeps a copy of what it starts from, so that an upload may expire while a job waits,
and so that nothing is left of it when the job is deleted. The bytes are where the iterates' pictures are: in the rows,
or in a bucket.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, Update, func, insert, literal, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert, ReturningDelete, ReturningInsert, ReturningUpdate

from store.idempotency import NOBODY
from store.pictures import PictureId, Pictures, StoredPicture
from store.tables import inputs, jobs, uploads

Kept = tuple[UUID, bytes | None]
"""Under which id bytes are kept (see `PictureId`), and the bytes themselves if they are in the row."""


class Upload(NamedTuple):
    """A picture that is to be stored: a PNG of `width` x `height` pixels."""

    sha256: str
    png: bytes
    width: int
    height: int


def upload(owner: UUID | None, upload_id: UUID, picture: Upload, stored: StoredPicture) -> ReturningInsert[UUID]:
    """Keep a picture of an owner (None: without a key), which was stored under an id. Returns the id under which it is
    kept: another one if it was sent twice at the same time."""
    row = upsert(uploads).values(
        id=upload_id,
        owner=owner or NOBODY,
        sha256=picture.sha256,
        picture=stored.inline,
        width=picture.width,
        height=picture.height,
        bytes=len(picture.png),
    )
    again = {"used_at": func.now()}
    return row.on_conflict_do_update(index_elements=["owner", "sha256"], set_=again).returning(uploads.c.id)


def renew(owner: UUID | None, sha256: str) -> ReturningUpdate[UUID]:
    """Keep an upload from now on for its whole age. Returns its id; nothing if there is none."""
    return touch(owner, [sha256]).returning(uploads.c.id)


def stored_bytes(owner: UUID | None) -> Select[int]:
    """How many bytes the uploads of an owner have."""
    return select(func.coalesce(func.sum(uploads.c.bytes), 0)).where(uploads.c.owner == (owner or NOBODY))


def uploaded(owner: UUID | None, sha256: str) -> Select[UUID, bytes | None]:
    """`Kept` of an upload of this owner; nothing if there is none."""
    its = (uploads.c.owner == (owner or NOBODY), uploads.c.sha256 == sha256)
    return select(uploads.c.id, uploads.c.picture).where(*its)


def used(owner: UUID | None, sha256: str) -> Select[UUID, bytes | None]:
    """The same of an input of a job of this owner, newest first."""
    mine = jobs.c.key_id.is_(None) if owner is None else jobs.c.key_id == owner
    return (
        select(inputs.c.job_id, inputs.c.picture)
        .join(jobs, jobs.c.id == inputs.c.job_id)
        .where(inputs.c.sha256 == sha256, mine)
        .order_by(jobs.c.created_at.desc())
        .limit(1)
    )


def remove(owner: UUID | None, sha256: str) -> ReturningDelete[UUID, str]:
    """Delete an upload. Returns (id, sha256); the caller commits, and then deletes the picture."""
    theirs = delete_from(uploads).where(uploads.c.owner == (owner or NOBODY), uploads.c.sha256 == sha256)
    return theirs.returning(uploads.c.id, uploads.c.sha256)


def prune(older_than_seconds: float, limit: int = 100) -> ReturningDelete[UUID, str]:
    """Delete up to `limit` uploads that were not used for so long. Returns as `remove`."""
    old = (
        select(uploads.c.id)
        .where(uploads.c.used_at < func.now() - literal(timedelta(seconds=older_than_seconds)))
        .order_by(uploads.c.used_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    theirs = delete_from(uploads).where(uploads.c.id.in_(select(old.c.id)))
    return theirs.returning(uploads.c.id, uploads.c.sha256)


def keep(job_id: UUID, pictures: Collection[StoredPicture]) -> Insert:
    """Keep pictures that were stored under the id of a job, in the transaction that makes it."""
    return insert(inputs).values(
        [{"job_id": job_id, "sha256": each.sha256, "picture": each.inline} for each in pictures]
    )


def touch(owner: UUID | None, digests: Collection[str]) -> Update:
    """Count the age of these uploads from now."""
    theirs = (uploads.c.owner == (owner or NOBODY), uploads.c.sha256.in_(digests))
    return update(uploads).where(*theirs).values(used_at=func.now())


def of_job(job_id: UUID, sha256: str) -> Select[UUID, bytes | None]:
    """`Kept` of an input of a job."""
    return select(inputs.c.job_id, inputs.c.picture).where(inputs.c.job_id == job_id, inputs.c.sha256 == sha256)


def load(session: Session, pictures: Pictures, job_id: UUID) -> dict[str, bytes]:
    """The pictures that a job starts from, by their digests. For workers: blocks.

    Raises:
        PicturesUnavailable: they cannot be read now.
    """
    rows = session.execute(select(inputs.c.sha256, inputs.c.picture).where(inputs.c.job_id == job_id)).all()
    found: dict[str, bytes] = {}
    for digest, inline in rows:
        data = inline or pictures.load(PictureId(job_id, digest))
        if data is None:  # moved into its row meanwhile
            data = session.scalar(of_job(job_id, digest).with_only_columns(inputs.c.picture))
        if data is not None:
            found[digest] = data
    return found
