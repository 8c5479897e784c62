"""Pictures in PostgreSQL: the row that refers to a picture also has its bytes."""

from collections.abc import Collection
from hashlib import sha256
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from store.pictures.base import PictureId, StoredPicture
from store.tables import iterates


class PostgresPictures:
    """Needs no round trip of its own to store or to delete a picture: the statement that writes or drops the reference
    writes or drops the bytes, so none is ever without the other."""

    def put(self, session: Session, job_id: UUID, picture: bytes) -> StoredPicture:
        return StoredPicture(sha256(picture).hexdigest(), picture)

    async def store(self, session: AsyncSession, job_id: UUID, picture: bytes) -> StoredPicture:
        return StoredPicture(sha256(picture).hexdigest(), picture)

    async def get(self, session: AsyncSession, picture: PictureId) -> bytes | None:
        # By the primary key's first column: a job has few iterates, and only the bytes of the one found are read.
        its = (iterates.c.job_id == picture.job_id, iterates.c.etag == picture.sha256)
        return await session.scalar(select(iterates.c.picture).where(*its, iterates.c.picture.is_not(None)).limit(1))

    def load(self, picture: PictureId) -> bytes | None:
        return None

    async def url(self, session: AsyncSession, picture: PictureId) -> str | None:
        return None

    def check(self) -> str | None:
        return None

    def delete(self, pictures: Collection[PictureId]) -> None:
        pass

    def sweep(self) -> int:
        return 0

    def close(self) -> None:
        pass
