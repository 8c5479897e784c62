"""The pictures of a job that has ended, for a client that waited for them."""

from base64 import b64encode
from dataclasses import dataclass
from uuid import UUID

from api.encoding import formats as pictures
from api.jobs.lookup import existing
from api.pictures.lookup import Found, find_picture, sent_picture
from api.problems import DeadlineExceeded, GenerationCanceled, GenerationFailed
from api.services import Services
from store import reads, tables


@dataclass(frozen=True)
class Outcome:
    """A succeeded job, its images, and the picture of each."""

    job: tables.Job
    images: list[tables.Image]
    found: list[Found]

    @property
    def created(self) -> int:
        """When the job ended, in seconds since 1970."""
        return int((self.job.finished_at or self.job.updated_at).timestamp())


async def outcome(services: Services, job: UUID) -> Outcome:
    """The outcome of a job that has ended.

    Raises:
        NoSuchJob: it was deleted meanwhile.
        GenerationFailed, DeadlineExceeded, GenerationCanceled: it has no finished pictures.
    """
    async with services.reading.begin() as session:
        row = await existing(session, job)
        if row.state == "failed":
            kind = DeadlineExceeded if row.failure == "deadline" else GenerationFailed
            raise kind(f"The job {job} failed: {row.error}.")
        if row.state != "succeeded":
            raise GenerationCanceled(f"The job {job} was canceled: ask again for another.")
        images = list((await session.scalars(reads.images([job]))).all())
        found = [await find_picture(session, job, image.number, image.iterate) for image in images]
    return Outcome(row, images, found)


async def encoded(services: Services, job: UUID, image: int, found: Found, form: pictures.Format) -> str:
    """A picture in base64.

    Raises:
        NoSuchPicture: it was deleted a moment ago.
    """
    return b64encode(await sent_picture(services, job, image, found, form)).decode()
