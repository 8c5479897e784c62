"""Workers whose pictures and checkpoints are kept in a bucket."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import redis
from PIL import Image as Picture
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from sampler import Checkpoint as Saved
from store import saves
from store.database import async_engine, async_sessions, sync_sessions
from store.pictures import PictureId
from store.pictures.move import to_bucket, to_rows
from store.pictures.postgres import PostgresPictures
from store.pictures.s3 import S3Pictures
from store.settings import JobSettings, PictureSettings
from store.tables import Checkpoint, Iterate
from tasks.janitor import Janitor
from tests.object_store import ObjectStore
from tests.tasks.inside import Reference, Start, interrupted
from tests.tasks.jobs import Jobs, Pixels
from tests.until import until

DRAFT: dict[str, Any] = {"method": "srds", "steps": 12, "blocks": 6, "max_iterations": 2, "tolerance": 0.0}
EXACT: dict[str, Any] = {"method": "srds", "steps": 60, "blocks": 10, "tolerance": 0.0}
# A worker that puts a picture and dies before the statement.
DYING = """
import os, signal, sys, uuid
from store.database import sync_engine, sync_sessions
from store.pictures import open_pictures
from store.settings import StoreSettings
with sync_sessions(sync_engine(StoreSettings().database_url))() as session:
    open_pictures().put(session, uuid.UUID(sys.argv[1]), b"picture")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def bucket(s3_settings: dict[str, str], postgres_url: str) -> Iterator[S3Pictures]:
    opened = S3Pictures.from_settings(PictureSettings(), postgres_url)
    yield opened
    opened.close()


def referred(database: Engine) -> set[PictureId]:
    """What the rows refer to. None of them has bytes."""
    with Session(database) as session:
        assert session.scalars(select(Iterate.iterate).where(Iterate.picture.is_not(None))).all() == []
        assert session.scalars(select(Checkpoint.image).where(Checkpoint.data.is_not(None))).all() == []
        pictures = session.execute(select(Iterate.job_id, Iterate.etag).where(Iterate.etag.is_not(None)))
        states = session.execute(select(Checkpoint.job_id, Checkpoint.sha256))
        return {PictureId(*row) for row in [*pictures, *states]}


def test_a_job_leaves_in_the_bucket_what_its_rows_refer_to(
    jobs: Jobs, process: Start, reference: Reference, bucket: S3Pictures, database: Engine
) -> None:
    job_id = jobs.submit(**DRAFT)
    process().run()
    assert jobs.get(job_id).stopped == "max_iterations"
    assert len(jobs.checkpoints(job_id)) == 1
    assert set(bucket.kept()) == referred(database)  # the checkpoints before the last are gone
    expected = [pixels for _, pixels in reference.sample(**DRAFT)]
    made = [shown(bucket, job_id, each.etag) for each in jobs.iterates(job_id)]
    assert len(made) == len(expected) == 3
    for ours, theirs in zip(made, expected, strict=True):
        assert np.abs(ours - theirs).max() <= 2


def test_a_job_resumes_from_the_checkpoint_in_the_bucket(
    jobs: Jobs, process: Start, bucket: S3Pictures, database: Engine
) -> None:
    job_id = interrupted(jobs, process, **EXACT)
    handed = PictureId(job_id, jobs.checkpoints(job_id)[0].sha256 or "")
    spent = checkpoint(bucket, handed).description["spent"][1]
    assert set(bucket.kept()) == referred(database)
    process("next").run()
    assert jobs.get(job_id).stopped == "exact"
    assert jobs.images(job_id)[0].evaluations > spent > 0
    assert jobs.checkpoints(job_id) == []
    assert set(bucket.kept()) == referred(database)


def test_an_image_whose_checkpoint_is_lost_starts_over(
    jobs: Jobs, process: Start, bucket: S3Pictures, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = interrupted(jobs, process, **EXACT)
    bucket.bucket.delete([f"underpaint/{job_id}/{jobs.checkpoints(job_id)[0].sha256}"])
    process("next").run()
    assert jobs.get(job_id).stopped == "exact"
    assert "has lost the checkpoint of image 0" in caplog.text


def test_a_job_waits_while_the_bucket_is_away(
    jobs: Jobs,
    process: Start,
    bucket: S3Pictures,
    object_store: ObjectStore,
    database: Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = process(jobs=JobSettings(lease_seconds=60))
    with object_store.away():
        job_id = jobs.submit(steps=12)
        running = worker.start()
        until(lambda: "the pictures are away, trying until they are back" in caplog.text)
        assert jobs.get(job_id).state == "running"
        assert jobs.iterates(job_id) == []
    running.result(60)
    assert jobs.get(job_id).state == "succeeded"
    assert set(bucket.kept()) == referred(database)


def test_the_janitor_deletes_what_is_old_from_the_bucket(
    jobs: Jobs, process: Start, bucket: S3Pictures, database: Engine, engine: Engine, valkey: redis.Redis
) -> None:
    job_id = jobs.submit(**DRAFT)
    process().run()
    previews = len(jobs.iterates(job_id))
    brief = JobSettings(preview_retention_seconds=0.001, checkpoint_retention_seconds=0.001)
    Janitor(sync_sessions(engine), bucket, valkey, brief).prune()
    assert jobs.checkpoints(job_id) == []
    assert len(referred(database)) == 1 < previews
    assert set(bucket.kept()) == referred(database)
    Janitor(sync_sessions(engine), bucket, valkey, JobSettings(retention_seconds=0.001)).prune()
    assert set(bucket.kept()) == referred(database) == set()


def test_a_worker_that_dies_between_object_and_row_leaves_nothing_after_the_search(
    jobs: Jobs, bucket: S3Pictures, database: Engine
) -> None:
    job_id = jobs.submit()
    dying = subprocess.run([sys.executable, "-c", DYING, str(job_id)], capture_output=True, text=True)
    assert dying.returncode == -signal.SIGKILL, dying.stderr
    assert len(set(bucket.kept())) == 1
    young = S3Pictures(bucket.bucket, database.url.render_as_string(False), prefix="underpaint/", grace_seconds=3600)
    assert young.sweep() == 0  # it could be that of a statement that is about to come
    young.close()
    assert until(bucket.sweep) == 1  # PostgreSQL has noticed by then that the process is gone
    assert set(bucket.kept()) == set()


def test_what_is_moved_is_read_meanwhile_and_moves_back(
    jobs: Jobs, process: Start, bucket: S3Pictures, database: Engine, engine: Engine, postgres_url: str
) -> None:
    sessions = sync_sessions(engine)
    rows = PostgresPictures()
    job_id = jobs.submit(**DRAFT)
    process(pictures=rows).run()
    with Session(database) as session:
        before = dict(session.execute(select(Iterate.etag, Iterate.picture)).all())
        states = session.scalar(select(Checkpoint.data))
        # As a version before 0019 has saved it.
        session.execute(update(Checkpoint).values(sha256=None))
        session.commit()
    assert len(before) == 3
    assert list(bucket.kept()) == []

    async def read() -> dict[str | None, bytes | None]:
        async_ = async_engine(postgres_url, pool_size=1)
        found: dict[str | None, bytes | None] = {}
        for etag in before:
            async with async_sessions(async_)() as session:
                found[etag] = await bucket.get(session, PictureId(job_id, etag or ""))
        await async_.dispose()
        return found

    assert asyncio.run(read()) == before
    moved = list(to_bucket(sessions, bucket))
    assert sum(each.rows for each in moved) == 4
    assert set(bucket.kept()) == referred(database)
    assert bucket.sweep() == 0
    assert asyncio.run(read()) == before
    with sessions() as session:
        assert saves.load_checkpoints(session, bucket, job_id)[0].data == states
    assert list(to_bucket(sessions, bucket)) == []
    assert sum(each.rows for each in to_rows(sessions, bucket)) == 4
    assert list(bucket.kept()) == []
    assert asyncio.run(read()) == before
    with sessions() as session:
        assert saves.load_checkpoints(session, rows, job_id)[0].data == states


def test_what_is_lost_is_told_when_it_should_move(
    jobs: Jobs, process: Start, bucket: S3Pictures, engine: Engine
) -> None:
    job_id = jobs.submit(**DRAFT)
    process().run()
    bucket.bucket.delete([f"underpaint/{job_id}/{jobs.iterates(job_id)[0].etag}"])
    moved = list(to_rows(sync_sessions(engine), bucket))
    assert (sum(each.rows for each in moved), sum(each.lost for each in moved)) == (3, 1)


def shown(bucket: S3Pictures, job_id: UUID, etag: str | None) -> Pixels:
    """The pixels of a picture in the bucket."""
    png = bucket.load(PictureId(job_id, etag or ""))
    assert png is not None
    return np.asarray(Picture.open(BytesIO(png))).astype(np.int16)


def checkpoint(bucket: S3Pictures, picture: PictureId) -> Saved:
    data = bucket.load(picture)
    assert data is not None
    return Saved.from_bytes(data)
