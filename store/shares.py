"""Links by which others may look at one job: the statements that make, read and end them.

A token is 32 random bytes behind ``us_``, one for a job. It is stored as it is: a job that is shared again keeps its
link, and whoever reads the table could read the job's pictures beside it.
"""

from secrets import token_urlsafe
from uuid import UUID

from sqlalchemy import Delete, Insert, Select, delete, select
from sqlalchemy.dialects.postgresql import insert

from store.tables import Job, Share

PREFIX = "us_"
RANDOM_BYTES = 32


def new_token() -> str:
    """A token that nobody can guess."""
    return PREFIX + token_urlsafe(RANDOM_BYTES)


def hold(job_id: UUID) -> Select[UUID]:
    """The id of a job, which nobody can delete while the transaction lasts; nothing where it is not there."""
    return select(Job.id).where(Job.id == job_id).with_for_update(read=True, key_share=True)


def of(job_id: UUID) -> Select[str]:
    """The token of a job; nothing where it is not shared."""
    return select(Share.token).where(Share.job_id == job_id)


def share(job_id: UUID, token: str) -> Insert:
    """Share a job by this token, unless it is shared by another one, which stays."""
    return insert(Share).values(job_id=job_id, token=token).on_conflict_do_nothing()


def end(job_id: UUID) -> Delete:
    """Let nobody look at a job by a link any more."""
    return delete(Share).where(Share.job_id == job_id)
