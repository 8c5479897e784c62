"""The API of an installation that keeps pictures in a bucket."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import redis
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from store import inputs
from store.pictures.s3 import S3Pictures
from store.settings import PictureSettings
from store.tables import Input, Iterate, Upload
from tests.api.problem import problem
from tests.api.serving import serving
from tests.api.worker import Worker, png
from tests.object_store import ObjectStore
from tests.pictures_in import mask, picture
from underpaint import Underpaint


@pytest.fixture(params=[{}, {"UNDERPAINT_S3_PRESIGNED_SECONDS": "60"}], ids=["bytes", "redirection"])
def client(
    request: pytest.FixtureRequest,
    s3_settings: dict[str, str],
    redis_url: str,
    database: Engine,
    valkey: redis.Redis,
    tmp_path: Path,
) -> Iterator[httpx.Client]:
    unmarked = {"UNDERPAINT_PICTURE_PARAMETERS": "false", "UNDERPAINT_PICTURE_SOURCE": "false"}
    settings = {**s3_settings, **unmarked, "UNDERPAINT_REDIS_URL": redis_url, **request.param}
    with (
        serving(tmp_path / "log", **settings) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=30) as opened,
    ):
        yield opened


def test_pictures_of_a_bucket(
    request: pytest.FixtureRequest,
    client: httpx.Client,
    database: Engine,
    postgres_url: str,
    object_store: ObjectStore,
) -> None:
    redirected = request.node.callspec.id == "redirection"
    worker = Worker(database)
    job = client.post("/v1/jobs", json={"prompt": "red heart"}).json()["id"]
    worker.claim(job)
    worker.save(job, 0, png(0))
    worker.save(job, 1, png(1), final=True)
    worker.finish(job)
    path = f"/v1/jobs/{job}/images/0/iterates/latest"

    answer = client.get(path)
    assert answer.headers["underpaint-iterate"] == "1"
    assert answer.status_code == (307 if redirected else 200)
    if redirected:
        assert answer.headers["location"].startswith(object_store.url)
        assert answer.headers["cache-control"] == "no-store"  # the address is good for a while only
        elsewhere = httpx.get(answer.headers["location"], trust_env=False)
        assert (elsewhere.headers["content-type"], elsewhere.content) == ("image/png", png(1))
    else:
        assert answer.content == png(1)
    assert client.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    # Neither other formats nor the scripts of pages are sent to another origin.
    assert client.get(path, headers={"Accept": "image/webp"}).headers["content-type"] == "image/webp"
    assert client.get(path, headers={"Sec-Fetch-Mode": "cors"}).content == png(1)
    with Underpaint(str(client.base_url)) as ours:
        picture = ours.picture(job)
        assert (picture.iterate, picture.final, picture.content) == (1, True, png(1))
    # A row that was not moved yet.
    with database.begin() as connection:
        connection.execute(update(Iterate).where(Iterate.iterate == 0).values(picture=png(0)))
    assert client.get(f"/v1/jobs/{job}/images/0/iterates/0").content == png(0)

    assert "bucket" in client.get("/readyz").json()["checks"]["pictures"]["detail"]
    with object_store.away():
        gone = client.get(path, headers={"Sec-Fetch-Mode": "cors"})
        assert gone.headers["retry-after"]
        problem(gone, 503, "pictures-gone")
        assert client.get(f"/v1/jobs/{job}").status_code == 200
        assert not problem(client.get("/readyz"), 503, "not-ready")["checks"]["pictures"]["ok"]
    assert client.get(path, headers={"Sec-Fetch-Mode": "cors"}).content == png(1)

    bucket = S3Pictures.from_settings(PictureSettings(), postgres_url)
    assert len(list(bucket.kept())) == 3
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    assert list(bucket.kept()) == []
    bucket.close()


@pytest.mark.parametrize("client", [{"UNDERPAINT_MAX_QUEUED": "2"}], indirect=True)
def test_pictures_that_clients_send_go_to_the_bucket(
    client: httpx.Client, database: Engine, postgres_url: str, object_store: ObjectStore
) -> None:
    bucket = S3Pictures.from_settings(PictureSettings(), postgres_url)
    sent = [client.post("/v1/uploads", content=picture()) for _ in range(2)]
    assert [each.status_code for each in sent] == [201, 201]
    (upload,) = {each.json()["id"] for each in sent}
    assert len(list(bucket.kept())) == 1
    white = f"data:image/png;base64,{b64encode(mask()).decode()}"
    whole = {"prompt": "red heart", "image": upload, "mask": white}
    job = client.post("/v1/jobs", json=whole).json()
    assert len(list(bucket.kept())) == 3
    with Session(database) as session:
        assert set(session.scalars(select(Upload.picture))) | set(session.scalars(select(Input.picture))) == {None}
        given = inputs.load(session, bucket, UUID(job["id"]))
    assert given.keys() == {upload, job["request"]["mask"]}
    kept = client.get(f"/v1/uploads/{upload}").content
    assert {given[upload], client.get(f"/v1/jobs/{job['id']}/inputs/image").content} == {kept}
    with object_store.away():
        problem(client.post("/v1/uploads", content=picture(32, 32)), 503, "pictures-gone")
        problem(client.post("/v1/jobs", json=whole | {"image": white, "mask": None}), 503, "pictures-gone")
        assert client.post("/v1/jobs", json={"prompt": "red heart"}).status_code == 202
    problem(client.post("/v1/jobs", json=whole), 429, "queue-full")  # and nothing of it is left
    assert len(list(bucket.kept())) == 3
    assert client.post(f"/v1/jobs/{job['id']}/cancel").is_success
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.delete(f"/v1/uploads/{upload}").status_code == 204
    assert list(bucket.kept()) == []
    bucket.close()
