"""Finding a picture: PostgreSQL says which one is meant, Redis has the bytes of new ones, the picture store has all.

So ``latest`` is never older than what was saved, however long the cache keeps a picture.
"""

from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.encoding.formats import Format
from api.jobs.lookup import existing
from api.problems import NoSuchPicture
from api.services import Services
from contract.fields import Generation
from contract.words import TERMINAL
from store import reads
from store.pictures import PictureId, redis_cache
from store.pictures.marks import Made


class Found(NamedTuple):
    """A picture that exists. ``etag`` is the SHA-256 of its PNG, in hexadecimal."""

    iterate: int
    etag: str
    final: bool


async def find_picture(session: AsyncSession, job: UUID, image: int, iterate: int | None) -> Found:
    """The picture of an iterate; None means the newest one.

    Raises:
        NoSuchJob, NoSuchPicture: it does not exist; the message says what does.
    """
    query = reads.newest_picture(job, image) if iterate is None else reads.picture(job, image, iterate)
    row = (await session.execute(query)).one_or_none()
    if row and row[1]:
        return Found(row[0], row[1], row[2])
    raise await _missing(session, job, image, iterate)


async def progress(session: AsyncSession, job: UUID, image: int, iterate: int | None) -> tuple[int, bool]:
    """The number of the newest event of the job, and whether a missing picture may still be made.

    Raises:
        NoSuchJob: there is no such job.
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
    # A worker that lost its lease may have cached another picture of this iterate. The ETag is that of the saved one.
    if hot is not None and sha256(hot).hexdigest() == found.etag:
        return hot
    async with services.reading.begin() as session:
        png = await services.pictures.get(session, PictureId(job, found.etag))
    if png is None:
        raise NoSuchPicture("The picture was deleted or replaced a moment ago.")
    return png


async def sent_picture(services: Services, job: UUID, image: int, found: Found, form: Format) -> bytes:
    """A picture as it is sent in this format.

    Raises:
        NoSuchPicture: it was deleted a moment ago.
    """
    png = await read_picture(services, job, image, found)
    made: Made | None = None
    if services.marking.needed:
        async with services.single.begin() as session:
            row = (await session.execute(reads.origin(job, image))).one_or_none()
        if row is None:
            raise NoSuchPicture("The picture was deleted or replaced a moment ago.")
        made = Made(job, image, found.iterate, row.seed, row.method, Generation.model_validate(row.generation))
    return await services.marking.prepare(png, form, made)


async def _missing(session: AsyncSession, job: UUID, image: int, iterate: int | None) -> NoSuchPicture:
    """Explains to the client why there is no such picture. The member ``newest`` is the newest iterate, if it helps."""
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
