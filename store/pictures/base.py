"""The protocol of a store of pictures, and of the checkpoints of images, which are kept in the same way.

A picture must exist for as long as a row refers to it, and is removed some time after the last such row is gone. The
callers keep to an order that allows this for stores inside the database and outside of it:

1. `put`, then the statement that writes the reference, then the commit. A process that dies in between may leave a
   picture that no row refers to.
2. The statement that drops references, then the commit, then `delete`. A process that dies in between may, too.
3. `sweep` removes such pictures, and those whose reference was replaced by that of another picture.

A store outside the database must not delete a picture that is put again at the same time. So it takes a lock of the
job that nothing else waits for (`store.pictures.references`): `put` shares it until the caller's commit, `delete` and
`sweep` take what nobody has, in sessions of the store, and look for references under it. The caller's transaction is
open during the store's request. PostgreSQL ends idle ones of workers after the time of a lease: the store's timeouts
must be shorter.

Every table that refers to bytes has a line in `store.pictures.references.referenced`. Without it they would be deleted.
Jobs are not special there: any UUID, for instance that of an upload, can be the owner of bytes.

A store outside the database belongs to the first database that deletes from it, and keeps that database's
`database_identity`. With any other database it deletes nothing and logs an error: to a copy of the database, or to one
that was connected by mistake, the owner's pictures would look as if no row referred to them. Whoever moves a database
(by a dump, or an upgrade that makes a new cluster) removes the stored identity.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session


class PicturesUnavailable(Exception):
    """The store cannot be reached at the moment. The same call may succeed later. The message is for the log."""


class PictureId(NamedTuple):
    """Names a picture, or a checkpoint. Equal ones of one job are one; jobs share none."""

    job_id: UUID
    sha256: str
    """Of the bytes, in hexadecimal."""


class StoredPicture(NamedTuple):
    """What the row that refers to a picture has to store."""

    sha256: str
    inline: bytes | None
    """The bytes, if the row itself is where they are kept."""


class Pictures(Protocol):
    """A store of pictures. Threads and tasks may use it at once."""

    def put(self, session: Session, job_id: UUID, picture: bytes) -> StoredPicture:
        """Store a picture (PNG) or a checkpoint of a running job before the row that refers to it is written. Putting
        it again is safe.

        Args:
            session: whose transaction writes the reference; nothing has been executed in it yet.

        Raises:
            PicturesUnavailable: nothing may be written.
        """
        ...

    async def store(self, session: AsyncSession, job_id: UUID, picture: bytes) -> StoredPicture:
        """`put` for asyncio: of a picture that a job starts from, or of an upload, under its id.

        Args:
            session: as for `put`.

        Raises:
            PicturesUnavailable: nothing may be written.
        """
        ...

    async def get(self, session: AsyncSession, picture: PictureId) -> bytes | None:
        """The bytes of a picture; None if no row refers to it any more.

        Args:
            session: for a store that needs the database; nothing has been executed in it yet, so that it holds no
                connection until then.

        Raises:
            PicturesUnavailable: it may be there.
        """
        ...

    def load(self, picture: PictureId) -> bytes | None:
        """The bytes of what was put and is not inline; None if they are not there. Blocks.

        Raises:
            PicturesUnavailable: they may be there.
        """
        ...

    async def url(self, session: AsyncSession, picture: PictureId) -> str | None:
        """An address at which everybody can fetch a picture (PNG) for a while; None if its bytes have to be sent.

        Args:
            session: as for `get`.
        """
        ...

    def check(self) -> str | None:
        """Where pictures are kept outside of the database, if it can be reached and used; None if they are kept inside
        of it. Blocks.

        Raises:
            PicturesUnavailable: it cannot be used now. The message says why.
        """
        ...

    def delete(self, pictures: Collection[PictureId]) -> None:
        """Remove those of these pictures that no row refers to, after the commit that dropped references to them. Never
        raises: `sweep` removes what this could not. Blocks, so asyncio code calls it in a thread."""
        ...

    def sweep(self) -> int:
        """Remove the pictures that no row refers to. Returns how many. Never raises. The janitor calls it every few
        seconds; a store for which a search is expensive searches less often."""
        ...

    def close(self) -> None:
        """End all connections, to the store and to the database. Called once, when nothing else is called any more.
        Blocks, so asyncio code calls it in a thread."""
        ...


def database_identity(session: Session) -> str:
    """Names a database: a promoted replica is the same one, a restored dump is another one."""
    own = text("select system_identifier, oid from pg_control_system(), pg_database where datname = current_database()")
    return "{}/{}".format(*session.execute(own).one())
