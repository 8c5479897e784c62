"""What `underpaint pictures` does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from sqlalchemy.exc import OperationalError

from cli.database import with_database
from cli.errors import CommandError
from store.database import sync_engine, sync_sessions
from store.pictures import PicturesUnavailable
from store.settings import PictureSettings

if TYPE_CHECKING:
    from store.pictures.s3 import S3Pictures  # it needs boto3, which is an extra


def move(data_dir: Path, to: Literal["s3", "postgres"]) -> None:
    """Moves everything, and prints how much.

    Raises:
        CommandError: new pictures go elsewhere, a server cannot be used, or something was in neither place.
    """
    settings = _settings()
    if settings.pictures != to:
        raise CommandError(
            f"New pictures go to {settings.pictures}: first set UNDERPAINT_PICTURES={to} for all processes, and "
            "restart them."
        )
    with_database(data_dir, lambda url: _move(url, settings, to))


def adopt(data_dir: Path) -> None:
    """Makes the objects those of this database.

    Raises:
        CommandError: the bucket or the database cannot be used.
    """
    settings = _settings()

    def work(url: str) -> None:
        with _opened(url, settings) as pictures:
            pictures.adopt()

    with_database(data_dir, work)
    typer.echo(f"The bucket {settings.s3_bucket} belongs to this database now.", err=True)


def _move(url: str, settings: PictureSettings, to: Literal["s3", "postgres"]) -> None:
    from store.pictures.move import to_bucket, to_rows

    rows = size = lost = 0
    engine = sync_engine(url, pool_size=1)
    try:
        with _opened(url, settings) as pictures:
            pictures.check()
            for moved in (to_bucket if to == "s3" else to_rows)(sync_sessions(engine), pictures):
                rows, size, lost = rows + moved.rows, size + moved.bytes, lost + moved.lost
                typer.echo(f"\r{rows} moved, {size / 1e6:.1f} MB", err=True, nl=False)
    finally:
        engine.dispose()
        typer.echo("" if rows else "Nothing to move.", err=True)
    if lost:
        raise CommandError(f"{lost} pictures or checkpoints are neither in the database nor in the bucket.")


def _settings() -> PictureSettings:
    settings = PictureSettings()
    if settings.s3_bucket is None:
        raise CommandError("No bucket is named: set UNDERPAINT_S3_BUCKET, and what its object store needs.")
    return settings


@contextmanager
def _opened(url: str, settings: PictureSettings) -> "Iterator[S3Pictures]":
    from store.pictures.s3 import S3Pictures

    pictures = S3Pictures.from_settings(settings, url)
    try:
        yield pictures
    except PicturesUnavailable as error:
        raise CommandError(f"The bucket {settings.s3_bucket} cannot be used: {error}.") from error
    except OperationalError as error:
        raise CommandError(f"The database cannot be reached: {str(error.orig).strip()}") from error
    finally:
        pictures.close()
