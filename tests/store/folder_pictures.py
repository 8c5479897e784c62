"""A store of pictures outside of the database, which proves that callers follow the protocol: no rollback undoes its
puts, and nothing but `delete` and `sweep` removes a file."""

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, sessionmaker

from store.pictures import PictureId, StoredPicture
from store.tables import Iterate, Job


class FolderPictures:
    """A file for each picture."""

    def __init__(self, folder: Path, sessions: sessionmaker[Session]) -> None:
        self._folder = folder
        self._sessions = sessions

    def put(self, session: Session, job_id: UUID, picture: bytes) -> StoredPicture:
        session.execute(_locked(job_id))
        stored = StoredPicture(sha256(picture).hexdigest(), None)
        self._file(PictureId(job_id, stored.sha256)).write_bytes(picture)
        return stored

    async def get(self, session: AsyncSession, picture: PictureId) -> bytes | None:
        file = self._file(picture)
        return file.read_bytes() if file.exists() else None

    def delete(self, pictures: Collection[PictureId]) -> None:
        for picture in pictures:
            with self._sessions.begin() as session:
                session.execute(_locked(picture.job_id))
                rows = select(Iterate.iterate).where(Iterate.job_id == picture.job_id, Iterate.etag == picture.sha256)
                if session.scalars(rows).first() is None:
                    self._file(picture).unlink(missing_ok=True)

    def sweep(self) -> int:
        before = self.kept()
        self.delete(before)
        return len(before - self.kept())

    def kept(self) -> set[PictureId]:
        names = (file.name.split("-of-") for file in self._folder.iterdir())
        return {PictureId(UUID(job_id), digest) for digest, job_id in names}

    def _file(self, picture: PictureId) -> Path:
        return self._folder / f"{picture.sha256}-of-{picture.job_id}"


def _locked(job_id: UUID) -> Select[UUID]:
    return select(Job.id).where(Job.id == job_id).with_for_update()
