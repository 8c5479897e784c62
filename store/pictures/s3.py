"""Pictures in a bucket that speaks S3. Their keys are PREFIX/JOB/SHA256.

A crash between a put and the commit of the row, and a bucket that is away when a picture is to be deleted, leave
objects that no row refers to. `sweep` finds them: it lists the bucket, a page at a call, again and again.
"""

import logging
import time
from asyncio import get_running_loop, to_thread
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from store.database import sync_engine, sync_sessions
from store.outages import DATABASE_AWAY, reason
from store.pictures.base import PictureId, PicturesUnavailable, StoredPicture, database_identity
from store.pictures.bucket import AT_ONCE, Bucket
from store.pictures.postgres import PostgresPictures
from store.pictures.references import referenced, share, take
from store.settings import PictureSettings

READERS = 16  # requests of this process at once that read pictures

log = logging.getLogger(__name__)


class S3Pictures:
    """See `Pictures`. Reads what is in the bucket and what is in rows; new pictures go to one of both."""

    def __init__(
        self,
        bucket: Bucket,
        database_url: str,
        *,
        prefix: str = "",
        inline: bool = False,
        presigned_seconds: int | None = None,
        sweep_seconds: float = 3600,
        grace_seconds: float = 3600,
    ) -> None:
        """
        Args:
            inline: whether new pictures go to the database, as while all are moved back.
            presigned_seconds: how long the addresses of `url` are good; None: there are none.
            sweep_seconds: the time between two searches of the whole bucket.
            grace_seconds: objects without a row that are younger than this stay.
        """
        self.bucket = bucket
        self._rows = PostgresPictures()
        self._prefix = prefix
        self._inline = inline
        self._presigned_seconds = presigned_seconds
        self._sweep_seconds, self._grace = sweep_seconds, timedelta(seconds=grace_seconds)
        self._after, self._next = "", 0.0
        self._owned_by = b""
        self._engine = sync_engine(database_url, pool_size=1)
        self._sessions = sync_sessions(self._engine)
        self._readers = ThreadPoolExecutor(READERS, "pictures")

    @classmethod
    def from_settings(cls, settings: PictureSettings, database_url: str) -> "S3Pictures":
        """With the bucket that the settings name."""
        assert settings.s3_bucket is not None
        bucket = Bucket(
            settings.s3_bucket,
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            path_style=settings.s3_path_style,
            public_endpoint=settings.s3_public_endpoint,
        )
        return cls(
            bucket,
            database_url,
            prefix=settings.s3_prefix,
            inline=settings.pictures == "postgres",
            presigned_seconds=settings.s3_presigned_seconds,
            sweep_seconds=settings.s3_sweep_seconds,
            grace_seconds=settings.s3_grace_seconds,
        )

    def put(self, session: Session, job_id: UUID, picture: bytes) -> StoredPicture:
        if self._inline:
            return self._rows.put(session, job_id, picture)
        return self.put_object(session, job_id, picture)

    def put_object(self, session: Session, job_id: UUID, picture: bytes) -> StoredPicture:
        """`put` into the bucket, wherever new pictures go."""
        session.execute(share(job_id))
        stored = StoredPicture(sha256(picture).hexdigest(), None)
        self.bucket.put(self._key(PictureId(job_id, stored.sha256)), picture)
        return stored

    async def store(self, session: AsyncSession, job_id: UUID, picture: bytes) -> StoredPicture:
        if self._inline:
            return await self._rows.store(session, job_id, picture)
        await session.execute(share(job_id))
        stored = StoredPicture(sha256(picture).hexdigest(), None)
        await to_thread(self.bucket.put, self._key(PictureId(job_id, stored.sha256)), picture)
        return stored

    async def get(self, session: AsyncSession, picture: PictureId) -> bytes | None:
        # It may be moved at any moment: one way or the other, it is found by the third look.
        found = await self._load(picture) or await self._rows.get(session, picture)
        return found or await self._load(picture)

    def load(self, picture: PictureId) -> bytes | None:
        return self.bucket.get(self._key(picture))

    async def url(self, session: AsyncSession, picture: PictureId) -> str | None:
        if self._presigned_seconds is None:
            return None
        if picture not in {PictureId(*row) for row in await session.execute(referenced([picture.job_id]))}:
            return None
        return self.bucket.url(self._key(picture), self._presigned_seconds, "image/png")

    def check(self) -> str | None:
        self.bucket.check()
        return f"the bucket {self.bucket.name}"

    def delete(self, pictures: Collection[PictureId]) -> None:
        try:
            if pictures and self._is_owned():
                self._delete(pictures)
        except (PicturesUnavailable, *DATABASE_AWAY) as error:
            log.warning("%d pictures are deleted later: %s", len(pictures), reason(error))

    def sweep(self) -> int:
        if not self._after and time.monotonic() < self._next:
            return 0
        try:
            return self._sweep() if self._is_owned(again=True) else 0
        except (PicturesUnavailable, *DATABASE_AWAY) as error:
            log.warning("the search for pictures that no row refers to goes on later: %s", reason(error))
            return 0

    def close(self) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()
        self.bucket.close()

    def adopt(self) -> None:
        """Make the objects those of this database, whatever database they belonged to: from now on it deletes those
        that none of its rows refers to.

        Raises:
            PicturesUnavailable: see there.
        """
        with self._sessions() as session:
            self.bucket.put(self._owner, database_identity(session).encode())

    def owned(self) -> bool:
        """Whether the objects belong to this database, or to none yet.

        Raises:
            PicturesUnavailable, and what `DATABASE_AWAY` lists: they cannot be asked.
        """
        with self._sessions() as session:
            identity = database_identity(session).encode()
        return self.bucket.get(self._owner) in (None, identity)

    def kept(self) -> Iterable[PictureId]:
        """Everything in the bucket.

        Raises:
            PicturesUnavailable: see there.
        """
        after, more = "", True
        while more:
            page, more = self.bucket.page(self._prefix, after)
            yield from (picture for each in page if (picture := self._picture(each.key)))
            after = page[-1].key if page else ""

    async def _load(self, picture: PictureId) -> bytes | None:
        return await get_running_loop().run_in_executor(self._readers, self.load, picture)

    def _sweep(self) -> int:
        page, more = self.bucket.page(self._prefix, self._after)
        self._after = page[-1].key if more else ""
        if not more:
            self._next = time.monotonic() + self._sweep_seconds
        old = datetime.now(UTC) - self._grace
        found = {picture for each in page if each.modified < old and (picture := self._picture(each.key))}
        deleted = self._delete(found)
        if deleted:
            log.info("deleted %d pictures that no row referred to", deleted)
        return deleted

    def _delete(self, pictures: Collection[PictureId]) -> int:
        """Delete those that no row refers to, and that nobody puts at the moment. Returns how many."""
        deleted = 0
        listed = list(pictures)
        for some in (listed[first : first + AT_ONCE] for first in range(0, len(listed), AT_ONCE)):
            with self._sessions.begin() as session:
                ours = set(session.scalars(take({picture.job_id for picture in some})))
                needed = {PictureId(*row) for row in session.execute(referenced(ours))}
                gone = [picture for picture in some if picture.job_id in ours and picture not in needed]
                self.bucket.delete([self._key(picture) for picture in gone])
                deleted += len(gone)
        return deleted

    def _is_owned(self, *, again: bool = False) -> bool:
        """Whether this database is the one that owns the objects, as the first one does that asks. What the bucket says
        is remembered, unless it is asked again."""
        with self._sessions() as session:
            identity = database_identity(session).encode()
        if identity == self._owned_by and not again:
            return True
        owner = self.bucket.get(self._owner)
        if owner is None and self.bucket.put(self._owner, identity, only_new=True):
            owner = identity
        if owner is None:  # another database was quicker
            owner = self.bucket.get(self._owner)
        if owner == identity:
            self._owned_by = identity
            return True
        self._owned_by = b""
        log.error(
            "no picture is deleted from the bucket %s: they are those of another database. If this one replaces it, "
            "run `underpaint pictures adopt`",
            self.bucket.name,
        )
        return False

    @property
    def _owner(self) -> str:
        return f"{self._prefix}owner"

    def _key(self, picture: PictureId) -> str:
        return f"{self._prefix}{picture.job_id}/{picture.sha256}"

    def _picture(self, key: str) -> PictureId | None:
        """What an object is; None if it is none of ours."""
        job_id, _, digest = key.removeprefix(self._prefix).partition("/")
        try:
            return PictureId(UUID(job_id), digest) if len(digest) == 64 else None
        except ValueError:
            return None
