"""Pictures: by number and the latest, in every format, from the cache and not."""

import asyncio
import io
from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from PIL import Image

from api.encoding.formats import negotiate
from api.pictures.lookup import progress
from api.problems import NotAcceptable
from store.database import async_engine, async_sessions
from store.pictures import redis_cache
from tests.api.problem import problem
from tests.api.worker import Worker, png

Submit = Callable[..., str]


def path(job: str, iterate: int | str = "latest", image: int | str = 0) -> str:
    return f"/v1/jobs/{job}/images/{image}/iterates/{iterate}"


@pytest.fixture
def job(submit: Submit, worker: Worker) -> str:
    """A running job with iterates 0 and 1."""
    made = submit()
    worker.claim(made)
    worker.save(made, 0, png(0))
    worker.save(made, 1, png(1))
    return made


def test_a_missing_picture_may_still_be_made_until_its_image_has_ended(
    submit: Submit, client: httpx.Client, worker: Worker, postgres_url: str
) -> None:
    job = submit(images=3)
    worker.claim(job)
    for image in range(3):
        worker.start(job, image)
        worker.save(job, 1, None, image)
    worker.end_image(job, 0, stopped="converged")
    worker.end_image(job, 1, error="broken")

    async def may_be_made(*pictures: tuple[int, int | None]) -> list[bool]:
        engine = async_engine(postgres_url)
        async with async_sessions(engine)() as session:
            found = [(await progress(session, UUID(job), image, iterate))[1] for image, iterate in pictures]
        await engine.dispose()
        return found

    wanted = [(0, 2), (0, None), (1, 2), (2, 2), (2, None), (2, 1), (2, 0), (3, 0)]
    assert asyncio.run(may_be_made(*wanted)) == [False, False, False, True, True, False, False, False]
    worker.cancel(job)
    assert asyncio.run(may_be_made((2, 2))) == [False]


def test_a_numbered_picture_may_be_kept_forever(client: httpx.Client, job: str, worker: Worker) -> None:
    response = client.get(path(job, 0))
    assert response.content == png(0)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert response.headers["vary"] == "Accept, Authorization"
    assert response.headers["underpaint-iterate"] == "0"
    assert response.headers["underpaint-final"] == "false"
    assert "content-location" not in response.headers
    worker.save(job, 2, png(2), final=True)
    assert client.get(path(job, 2)).headers["underpaint-final"] == "true"


def test_the_latest_is_never_stale(client: httpx.Client, job: str, worker: Worker, valkey: redis.Redis) -> None:
    for iterate in range(2, 5):
        redis_cache.put(valkey, UUID(job), 0, iterate - 1, png(iterate - 1), 600)
        before = client.get(path(job))
        worker.save(job, iterate, png(iterate))  # its picture is not hot yet
        response = client.get(path(job), headers={"If-None-Match": before.headers["etag"]})
        assert response.content == png(iterate)
        assert response.headers["underpaint-iterate"] == str(iterate)
        assert response.headers["content-location"] == f"{client.base_url}".rstrip("/") + path(job, iterate)
        assert response.headers["cache-control"] == "private, no-cache"
        assert client.get(response.headers["content-location"]).headers["etag"] == response.headers["etag"]


def test_a_hot_picture_comes_from_the_cache_if_it_is_the_saved_one(
    client: httpx.Client, job: str, valkey: redis.Redis
) -> None:
    redis_cache.put(valkey, UUID(job), 0, 1, png(99), 600)  # of a run that was taken over
    assert client.get(path(job)).content == png(1)
    redis_cache.put(valkey, UUID(job), 0, 1, png(1), 600)
    assert client.get(path(job)).content == png(1)


@pytest.mark.parametrize("iterate", [1, "latest"])
@pytest.mark.parametrize(("accept", "kind"), [("image/png", "PNG"), ("image/webp", "WEBP"), ("image/jpeg", "JPEG")])
def test_formats(client: httpx.Client, job: str, iterate: int | str, accept: str, kind: str) -> None:
    response = client.get(path(job, iterate), headers={"Accept": accept})
    assert response.headers["content-type"] == accept
    with Image.open(io.BytesIO(response.content)) as picture:
        assert (picture.format, picture.size, picture.mode) == (kind, (16, 8), "RGB")
        red, green, blue = picture.getpixel((8, 4))  # pyright: ignore[reportGeneralTypeIssues]
    assert max(abs(red - 1), abs(green - 40), abs(blue - 80)) <= 4
    etag = response.headers["etag"]
    again = client.get(path(job, iterate), headers={"Accept": accept, "If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert again.headers["underpaint-iterate"] == "1"
    assert again.headers["vary"] == "Accept, Authorization"


def test_each_format_has_its_own_etag(client: httpx.Client, job: str) -> None:
    kinds = ["image/png", "image/webp", "image/jpeg"]
    etags = [client.get(path(job, 1), headers={"Accept": kind}).headers["etag"] for kind in kinds]
    assert len(set(etags)) == 3
    assert not any(etag.startswith("W/") for etag in etags)
    for etag, kind in zip(etags, reversed(kinds), strict=True):
        status = client.get(path(job, 1), headers={"Accept": kind, "If-None-Match": etag}).status_code
        assert status == (304 if kind == "image/webp" else 200)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "png"),
        ("", "png"),
        ("*/*", "png"),
        ("image/*", "png"),
        ("image/webp,*/*", "png"),
        ("image/webp,*/*;q=0.8", "webp"),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "png"),  # Chromium
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "png"),  # Firefox
        ("IMAGE/JPEG", "jpeg"),
        ("image/jpeg;q=0.5, image/webp;q=0.7, image/png;q=0.6", "webp"),
        ("image/png;q=0, */*", "webp"),
        ("image/png;q=0, image/*;q=0.1, text/html", "webp"),
        ("image/*;q=0, image/jpeg", "jpeg"),
        ("image/png;q=0.0, image/webp;q=0.00, */*;q=0.001", "jpeg"),
        ("text/html, image/jpeg ; q=1.000", "jpeg"),
        ("image/jpeg;q=nan, image/webp;q=0.1", "webp"),
    ],
)
def test_accept_headers(accept: str | None, kind: str) -> None:
    assert negotiate(accept).name == kind


@pytest.mark.parametrize(
    "accept",
    ["text/html", "image/avif", "image/png;q=0", "*/*;q=0", "image", "png", ";", "image/png;q=2", "image/*;q=0, */*"],
)
def test_accept_headers_that_allow_nothing(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        negotiate(accept)


def test_a_client_is_told_what_it_may_accept(client: httpx.Client, job: str) -> None:
    response = client.get(path(job), headers={"Accept": "image/avif"})
    body = problem(response, 406, "not-acceptable")
    assert "image/png, image/webp or image/jpeg" in body["detail"]
    assert response.headers["vary"] == "Accept, Authorization"


def test_head_is_get_without_the_picture(client: httpx.Client, job: str) -> None:
    head, get = client.head(path(job)), client.get(path(job))
    assert head.content == b""
    for name in ("etag", "content-type", "content-length", "underpaint-iterate"):
        assert head.headers[name] == get.headers[name]


def test_an_iterate_that_is_not_there_yet(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit(images=2)
    body = problem(client.get(path(job)), 404, "no-such-picture")
    assert body["detail"] == "Image 0 has no iterate: the job is queued."
    assert body["newest"] is None
    worker.claim(job)
    worker.save(job, 0, png(), image=1)
    assert "the job is running" in problem(client.get(path(job)), 404, "no-such-picture")["detail"]
    body = problem(client.get(path(job, 3, image=1)), 404, "no-such-picture")
    assert body["detail"] == "Image 1 has no iterate 3 yet: the newest one is 0."
    assert body["newest"] == 0
    worker.save(job, 1, png(), final=True)
    worker.save(job, 1, png(), image=1, final=True)
    worker.finish(job, images=2)
    body = problem(client.get(path(job, 3, image=1)), 404, "no-such-picture")
    assert body["detail"] == "Image 1 has no iterate 3: the newest one is 1."
    body = problem(client.get(path(job, image=2)), 404, "no-such-picture")
    assert body["detail"] == "The job has no image 2: the last one is 1."


def test_pictures_that_were_not_kept(client: httpx.Client, submit: Submit, worker: Worker) -> None:
    job = submit(previews=False)
    worker.claim(job)
    worker.save(job, 0, None)
    worker.save(job, 1, None)
    for which in (1, "latest"):
        body = problem(client.get(path(job, which)), 404, "no-such-picture")
        assert "previews off" in body["detail"]
        assert body["newest"] == 1
    worker.save(job, 2, png(2), final=True)
    assert client.get(path(job)).content == png(2)
    assert "iterate 1 of image 0" in problem(client.get(path(job, 1)), 404, "no-such-picture")["detail"]


@pytest.mark.parametrize(
    ("image", "iterate", "field"),
    [
        ("0", "newest", "iterate"),
        ("0", "-1", "iterate"),
        ("0", "01", "iterate"),
        ("0", "1.5", "iterate"),
        ("0", "9999999999", "iterate"),
        ("0", "٣", "iterate"),
        ("first", "0", "image"),
        ("-1", "0", "image"),
        ("9999999999", "0", "image"),
    ],
)
def test_numbers_that_are_none(client: httpx.Client, job: str, image: str, iterate: str, field: str) -> None:
    body = problem(client.get(path(job, iterate, image)), 404, "no-such-path")
    assert [error["field"] for error in body["errors"]] == [field]
    assert "from 0" in body["detail"]


def test_a_picture_of_no_job(client: httpx.Client) -> None:
    problem(client.get(path(str(uuid4()))), 404, "no-such-job")
    problem(client.get(path(str(uuid4()), 0)), 404, "no-such-job")
