"""Share links, with which others may read one job: the statements that create, read and delete them.

The token of a job is 32 random bytes behind ``us_``. It is stored in clear text, so that a job that is shared again
keeps its link. An attacker who can read the table can read the job's pictures in the same database anyway.
"""

from secrets import token_urlsafe
from uuid import UUID

from sqlalchemy import Delete, Insert, Select, delete, select
from sqlalchemy.dialects.postgresql import insert

from store.tables import Job, Share

PREFIX = "us_"
RANDOM_BYTES = 32


def new_token() -> str:
    """A new random token."""
    return PREFIX + token_urlsafe(RANDOM_BYTES)


def hold(job_id: UUID) -> Select[UUID]:
    """The id of a job, locked against deletion until the transaction ends; nothing if it does not exist."""
    return select(Job.id).where(Job.id == job_id).with_for_update(read=True, key_share=True)


def of(job_id: UUID) -> Select[str]:
    """The token of a job; nothing if it is not shared."""
    return select(Share.token).where(Share.job_id == job_id)


def share(job_id: UUID, token: str) -> Insert:
    """Share a job under this token; if it is shared already, its token stays."""
    return insert(Share).values(job_id=job_id, token=token).on_conflict_do_nothing()


def end(job_id: UUID) -> Delete:
    """End the sharing of a job."""
    return delete(Share).where(Share.job_id == job_id)
