"""`underpaint pictures`, and what doctor says of a bucket."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from cli.pictures import commands
from store.pictures.s3 import S3Pictures
from store.settings import PictureSettings
from tests.api.worker import Worker, png
from tests.cli.running import run
from tests.object_store import ObjectStore
from tests.store.conftest import Driver, driver, session

__all__ = ["driver", "session"]  # fixtures


def saved(database: Engine, driver: Driver) -> None:
    """A job with a picture and a checkpoint."""
    job = driver.submit()
    worker = Worker(database)
    worker.claim(str(job))
    worker.save(str(job), 0, png(0))


def test_pictures_move_there_and_back(
    database: Engine, driver: Driver, postgres_url: str, s3_settings: dict[str, str]
) -> None:
    back = {**s3_settings, "UNDERPAINT_PICTURES": "postgres"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERPAINT_PICTURES", "postgres")
        saved(database, driver)
    bucket = S3Pictures.from_settings(PictureSettings(), postgres_url)
    assert list(bucket.kept()) == []
    ran = run("pictures", "move", "s3", **s3_settings)
    assert (ran.returncode, "2 moved" in ran.stderr) == (0, True), ran.stderr
    assert len(list(bucket.kept())) == 2
    refused = run("pictures", "move", "postgres", **s3_settings)  # new ones would go on to the bucket
    assert refused.returncode == 1
    assert "UNDERPAINT_PICTURES=postgres" in refused.stderr
    ran = run("pictures", "move", "postgres", **back)
    assert (ran.returncode, "2 moved" in ran.stderr) == (0, True), ran.stderr
    assert list(bucket.kept()) == []
    bucket.close()


def test_moving_without_a_bucket_says_what_is_missing(object_store: ObjectStore, s3_settings: dict[str, str]) -> None:
    none = run("pictures", "move", "s3")
    assert (none.returncode, "UNDERPAINT_S3_BUCKET" in none.stderr) == (1, True)
    wrong = run("pictures", "move", "s3", **{**s3_settings, "UNDERPAINT_S3_BUCKET": "no-such-bucket"})
    assert (wrong.returncode, "there is no bucket no-such-bucket" in wrong.stderr) == (1, True)
    assert "Traceback" not in none.stderr + wrong.stderr


def test_doctor_checks_the_bucket(
    database: Engine,
    postgres_url: str,
    object_store: ObjectStore,
    s3_settings: dict[str, str],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    from cli.doctor import services

    assert services.pictures(postgres_url).state == "ok"
    bucket = S3Pictures.from_settings(PictureSettings(), postgres_url)
    bucket.bucket.put("underpaint/owner", b"another")
    found = services.pictures(postgres_url)
    assert (found.state, "another database" in found.detail) == ("problem", True)
    commands.adopt(tmp_path)
    assert services.pictures(postgres_url).state == "ok"
    bucket.close()
    with object_store.away():
        assert services.pictures(postgres_url).state == "problem"
