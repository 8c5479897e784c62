"""Pictures of iterates, and checkpoints. A row of ``iterates`` refers to its picture by ``etag``, and one of
``checkpoints`` to its bytes by ``sha256``: both are the SHA-256 of the bytes.

`base` has the protocol that every store follows. `postgres` keeps the bytes in the rows, which is the default, and `s3`
in a bucket; `references` knows which rows refer to bytes outside of the database, and `move` moves what is kept
from one to the other. `redis_cache` has the copies that Redis keeps for a while.
"""

from store.pictures.base import PictureId, Pictures, PicturesUnavailable, StoredPicture, database_identity
from store.pictures.postgres import PostgresPictures
from store.settings import PictureSettings, StoreSettings

__all__ = ["PictureId", "Pictures", "PicturesUnavailable", "StoredPicture", "database_identity", "open_pictures"]


def open_pictures() -> Pictures:
    """The store of pictures of this installation. Every process opens the same one once, at its start, and closes it at
    its end. Nothing is connected yet.

    Raises:
        ValueError: its settings are invalid.
    """
    settings = PictureSettings()
    if settings.s3_bucket is None:
        return PostgresPictures()
    from store.pictures.s3 import S3Pictures  # boto3 is an extra, and takes a third of a second to import

    return S3Pictures.from_settings(settings, StoreSettings().database_url)
