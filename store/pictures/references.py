"""Which rows refer to bytes that are kept outside of the database, and the lock under which that does not change."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ARRAY, CompoundSelect, Select, Text, Uuid, cast, func, literal, select, union_all

from store.tables import checkpoints, inputs, iterates, uploads

# The first half of the advisory locks of jobs: any number that nothing else in this database locks ("pict" in ASCII).
_PICTURES = int.from_bytes(b"pict", "big")


def referenced(job_ids: Collection[UUID]) -> CompoundSelect[UUID, str | None]:
    """(job_id, sha256) of everything of these jobs, or uploads, that is kept outside of the database."""
    return union_all(
        select(iterates.c.job_id, iterates.c.etag).where(
            iterates.c.job_id.in_(job_ids), iterates.c.etag.is_not(None), iterates.c.picture.is_(None)
        ),
        select(checkpoints.c.job_id, checkpoints.c.sha256).where(
            checkpoints.c.job_id.in_(job_ids), checkpoints.c.data.is_(None)
        ),
        select(inputs.c.job_id, inputs.c.sha256).where(inputs.c.job_id.in_(job_ids), inputs.c.picture.is_(None)),
        select(uploads.c.id, uploads.c.sha256).where(uploads.c.id.in_(job_ids), uploads.c.picture.is_(None)),
    )


def share(job_id: UUID) -> Select[None]:
    """Wait until nobody deletes bytes of a job, and keep others from it until the end of the transaction."""
    return select(func.pg_advisory_xact_lock_shared(_PICTURES, func.hashtext(str(job_id))))


def take(job_ids: Collection[UUID]) -> Select[UUID]:
    """Those of these jobs for which nobody puts or deletes bytes. Nobody else can until the end of the transaction."""
    job = func.unnest(literal(list(job_ids), ARRAY(Uuid))).column_valued("job")
    return select(job).where(func.pg_try_advisory_xact_lock(_PICTURES, func.hashtext(cast(job, Text))))
