"""The protocol of a store of pictures.

A picture must exist for as long as a row refers to it, and is removed some time after the last such row is gone. The
callers keep to an order that allows this for stores inside the database and outside of it:

1. `put`, then the statement that writes the reference, then the commit. A process that dies in between may leave a
   picture that no row refers to.
2. The statement that drops references, then the commit, then `delete`. A process that dies in between may, too.
3. `sweep` removes such pictures, and those whose reference was replaced by that of another picture.

The statements of 1 and 2 lock the job's row until their commit. A store outside the database must not delete a picture
that is put again at the same time. It can lock the row, too: `put` in the caller's session, `delete` and `sweep` in
sessions of the store.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session


class PicturesUnavailable(Exception):
    """The store cannot be reached at the moment. The same call may succeed later."""


class PictureId(NamedTuple):
    """Names a picture. Equal pictures of one job are one picture; jobs share none."""

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
        """Store a picture (PNG) of a running job before the row that refers to it is written. Putting it again is safe.

        Args:
            session: whose transaction writes the reference; nothing has been executed in it yet.

        Raises:
            PicturesUnavailable: nothing may be written.
        """
        ...

    async def get(self, session: AsyncSession, picture: PictureId) -> bytes | None:
        """The bytes of a picture; None if no row refers to it any more.

        Raises:
            PicturesUnavailable: it may be there.
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
