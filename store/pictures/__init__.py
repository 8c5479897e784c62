"""Pictures of iterates. A row of ``iterates`` refers to its picture by ``etag``, the SHA-256 of the bytes.

`base` has the protocol that every store of pictures follows, `postgres` the store in use, and `redis_cache` the copies
that Redis keeps for a while.
"""

from store.pictures.base import PictureId, Pictures, PicturesUnavailable, StoredPicture, database_identity
from store.pictures.postgres import PostgresPictures

__all__ = ["PictureId", "Pictures", "PicturesUnavailable", "StoredPicture", "database_identity", "open_pictures"]


def open_pictures() -> Pictures:
    """The store of pictures of this installation. Every process opens the same one once, at its start, and closes it at
    its end. Nothing is connected yet.

    Raises:
        ValueError: its settings are invalid.
    """
    return PostgresPictures()
