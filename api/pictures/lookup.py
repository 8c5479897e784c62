"""Where a picture is found: PostgreSQL says which one, and Redis has its bytes while it is fresh, or else PostgreSQL.

So ``latest`` is never older than what was saved, however long something stays in a cache.
"""

from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.jobs.lookup import existing
from api.problems import NoSuchPicture
from api.services import Services
from contract.words import TERMINAL
from store import reads
from store.pictures import PictureId, redis_cache


class Found(NamedTuple):
    """A picture that is there. ``etag`` is the SHA-256 of its PNG, in hexadecimal."""

    iterate: int
    etag: str
    final: bool


async def find_picture(session: AsyncSession, job: UUID, image: int, iterate: int | None) -> Found:
    """Which picture is meant by an iterate's number, or by None, the newest.

    Raises:
        NoSuchJob, NoSuchPicture: it is not there; the message says what is.
    """
    query = reads.newest_picture(job, image) if iterate is None else reads.picture(job, image, iterate)
    row = (await session.execute(query)).one_or_none()
    if row and row[1]:
        return Found(row[0], row[1], row[2])
    raise await _missing(session, job, image, iterate)


async def progress(session: AsyncSession, job: UUID, image: int, iterate: int | None) -> tuple[int, bool]:
    """The newest event of the job, and whether a picture that is not there now may still come.

    Raises:
        NoSuchJob: it is not there.
    """
    row = await existing(session, job)
    images = (await session.scalars(reads.images([job]))).all()
    if row.state in TERMINAL or image >= len(images):
        return row.seq, False
    mine = images[image]
    ended = mine.stopped is not None or mine.error is not None
    passed = iterate is not None and mine.iterate is not None and mine.iterate >= iterate
    return row.seq, not (ended or passed)


async def read_picture(services: Services, job: UUID, image: int, found: Found) -> bytes:
    """The PNG of a picture.

    Raises:
        NoSuchPicture: it was deleted a moment ago.
    """
    hot = await redis_cache.get(services.redis, job, image, found.iterate)
    # A run that was taken over may have left another picture of this iterate: the ETag says which one was saved.
    if hot is not None and sha256(hot).hexdigest() == found.etag:
        return hot
    async with services.reading.begin() as session:
        png = await services.pictures.get(session, PictureId(job, found.etag))
    if png is None:
        raise NoSuchPicture("The picture was deleted or replaced a moment ago.")
    return png


async def _missing(session: AsyncSession, job: UUID, image: int, iterate: int | None) -> NoSuchPicture:
    """Why there is no such picture, for the client. Where it helps, ``newest`` is the newest iterate."""
    row = await existing(session, job)
    images = (await session.scalars(reads.images([job]))).all()
    if image >= len(images):
        return NoSuchPicture(f"The job has no image {image}: the last one is {len(images) - 1}.")
    newest = images[image].iterate
    if newest is None:
        detail = f"Image {image} has no iterate: the job is {row.state}."
    elif iterate is not None and iterate > newest:
        yet = "" if row.state in TERMINAL else " yet"
        detail = f"Image {image} has no iterate {iterate}{yet}: the newest one is {newest}."
    else:
        which = "No picture" if iterate is None else f"No picture of iterate {iterate}"
        why = "the job was submitted with previews off, or they were deleted after a while"
        detail = f"{which} of image {image} is kept, only figures: {why}."
    return NoSuchPicture(detail, members={"newest": newest})
