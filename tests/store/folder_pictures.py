"""A store of pictures outside of the database, which proves that callers follow the protocol: no rollback undoes its
puts, and nothing but `delete` and `sweep` removes a file."""

import logging
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from store.database import sync_engine, sync_sessions
from store.outages import DATABASE_AWAY, reason
from store.pictures import PictureId, StoredPicture, database_identity
from store.pictures.references import referenced, share, take

log = logging.getLogger(__name__)


class FolderPictures:
    """A file for each picture, and a file that names the database that owns them."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder = folder
        self._engine = sync_engine(database_url)
        self._sessions = sync_sessions(self._engine)

    def put(self, session: Session, job_id: UUID, picture: bytes) -> StoredPicture:
        session.execute(share(job_id))
        stored = StoredPicture(sha256(picture).hexdigest(), None)
        self._file(PictureId(job_id, stored.sha256)).write_bytes(picture)
        return stored

    async def store(self, session: AsyncSession, job_id: UUID, picture: bytes) -> StoredPicture:
        await session.execute(share(job_id))
        stored = StoredPicture(sha256(picture).hexdigest(), None)
        self._file(PictureId(job_id, stored.sha256)).write_bytes(picture)
        return stored

    async def get(self, session: AsyncSession, picture: PictureId) -> bytes | None:
        return self.load(picture)

    def load(self, picture: PictureId) -> bytes | None:
        file = self._file(picture)
        return file.read_bytes() if file.exists() else None

    async def url(self, session: AsyncSession, picture: PictureId) -> str | None:
        return None

    def check(self) -> str | None:
        return f"the folder {self._folder}"

    def delete(self, pictures: Collection[PictureId]) -> None:
        try:
            if self._is_owned():
                for picture in pictures:
                    self._delete(picture)
        except DATABASE_AWAY as error:
            log.warning("pictures are deleted later, PostgreSQL is away: %s", reason(error))

    def sweep(self) -> int:
        before = self.kept()
        self.delete(before)
        return len(before - self.kept())

    def close(self) -> None:
        self._engine.dispose()

    @property
    def connected(self) -> bool:
        """Whether it holds connections to the database."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedin() + pool.checkedout() > 0

    def kept(self) -> set[PictureId]:
        names = (file.name.split("-of-") for file in self._folder.glob("*-of-*"))
        return {PictureId(UUID(job_id), digest) for digest, job_id in names}

    def _delete(self, picture: PictureId) -> None:
        with self._sessions.begin() as session:
            if not session.scalars(take([picture.job_id])).all():
                return  # it is put at the moment
            if picture not in {PictureId(*row) for row in session.execute(referenced([picture.job_id]))}:
                self._file(picture).unlink(missing_ok=True)

    def _is_owned(self) -> bool:
        """Whether this database is the one that owns the pictures, as the first one does that asks."""
        owner = self._folder / "owner"
        with self._sessions() as session:
            identity = database_identity(session)
        try:
            with owner.open("x") as file:
                file.write(identity)
        except FileExistsError:
            if owner.read_text() == identity:
                return True
            log.error(
                "no picture is deleted: they are those of another database; if this one replaces it, remove %s", owner
            )
            return False
        return True

    def _file(self, picture: PictureId) -> Path:
        return self._folder / f"{picture.sha256}-of-{picture.job_id}"
