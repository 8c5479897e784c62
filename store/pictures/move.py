"""Moving pictures and checkpoints between the database and a bucket, row by row, while everything runs.

A row is changed only if it still refers to what was moved, so a move can be stopped and started again at any time.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Table, and_, func, select, tuple_, update
from sqlalchemy.orm import Session, sessionmaker

from store.pictures.base import PictureId
from store.pictures.s3 import S3Pictures
from store.tables import checkpoints, inputs, iterates, uploads

AT_ONCE = 50  # rows of a transaction


class _Place(NamedTuple):
    """Where the rows of a table keep their bytes, and refer to them."""

    table: Table
    inline: ColumnElement[bytes | None]
    digest: ColumnElement[str | None]

    @property
    def key(self) -> list[ColumnElement[Any]]:
        return list(self.table.primary_key)


_PLACES = (
    _Place(iterates, iterates.c.picture, iterates.c.etag),
    _Place(checkpoints, checkpoints.c.data, checkpoints.c.sha256),
    _Place(inputs, inputs.c.picture, inputs.c.sha256),
    _Place(uploads, uploads.c.picture, uploads.c.sha256),
)


class Moved(NamedTuple):
    """What some transactions have moved. ``lost``: what is in neither place."""

    rows: int
    bytes: int
    lost: int = 0


def to_bucket(sessions: sessionmaker[Session], pictures: S3Pictures) -> Iterator[Moved]:
    """Move everything to the bucket; yields after each transaction.

    Raises:
        PicturesUnavailable: the bucket is away. What was moved stays moved.
    """
    for place in _PLACES:
        after: Sequence[Any] | None = None
        while rows := _next(sessions, place, after, inside=True):
            size = 0
            for key in rows:
                its = _its(place, key)
                with sessions.begin() as session:
                    data = session.scalar(select(place.inline).where(its))
                    if data is None:
                        continue  # deleted or replaced meanwhile
                    digest = pictures.put_object(session, key[0], data).sha256
                    same = func.sha256(place.inline) == bytes.fromhex(digest)
                    values = {place.inline.key: None, place.digest.key: digest}
                    session.execute(update(place.table).where(its, same).values(values))
                size += len(data)
            after = rows[-1]
            yield Moved(len(rows), size)


def to_rows(sessions: sessionmaker[Session], pictures: S3Pictures) -> Iterator[Moved]:
    """Move everything to the database; yields after each transaction.

    Raises:
        PicturesUnavailable: the bucket is away. What was moved stays moved.
    """
    for place in _PLACES:
        after: Sequence[Any] | None = None
        while rows := _next(sessions, place, after, inside=False):
            size = lost = 0
            moved: list[PictureId] = []
            for *key, digest in rows:
                picture = PictureId(key[0], digest)
                data = pictures.load(picture)
                same = and_(_its(place, key), place.digest == digest, place.inline.is_(None))
                with sessions.begin() as session:
                    if data is None or sha256(data).hexdigest() != digest:
                        lost += session.scalar(select(place.digest).where(same)) is not None
                        continue
                    session.execute(update(place.table).where(same).values({place.inline.key: data}))
                size += len(data)
                moved.append(picture)
            pictures.delete(moved)
            after = rows[-1][:-1]
            yield Moved(len(moved), size, lost)


def _its(place: _Place, key: Sequence[Any]) -> ColumnElement[bool]:
    return and_(*(column == value for column, value in zip(place.key, key, strict=True)))


def _next(
    sessions: sessionmaker[Session], place: _Place, after: Sequence[Any] | None, *, inside: bool
) -> Sequence[Sequence[Any]]:
    """The keys of the next rows whose bytes are inside of the database, or those and the digests of the others."""
    columns = place.key if inside else [*place.key, place.digest]
    kept = place.inline.is_not(None) if inside else and_(place.inline.is_(None), place.digest.is_not(None))
    query = select(*columns).where(kept).order_by(*place.key).limit(AT_ONCE)
    if after is not None:
        query = query.where(tuple_(*place.key) > tuple_(*after))
    with sessions() as session:
        return [tuple(row) for row in session.execute(query)]
