"""The official OpenAI client, unchanged, against the server and a worker with the shipped model."""

import asyncio
import base64
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from tests.service.parts import Api, pixels

# All iterates of 10 blocks; with this guidance they converge so slowly that each is another picture.
SLOW: dict[str, Any] = {"seed": 7, "steps": 50, "blocks": 10, "tolerance": 0.0, "method": "srds", "guidance_scale": 9}
ENDLESS: dict[str, Any] = {**SLOW, "steps": 900}
QUICK: dict[str, Any] = {"seed": 7, "steps": 8, "method": "srds"}
LAST = "image_generation.completed"

HEART: dict[str, Any] = {"prompt": "red heart", "model": "emoji"}


@pytest.fixture
def client(api: Api) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{api.address}/v1", api_key="any") as made:
        yield made


def rms(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.mean((one - other) ** 2)))


def check(events: list[Any], partials: int) -> None:
    """What every stream of a red heart with `SLOW` must be."""
    assert [event.type for event in events] == [*["image_generation.partial_image"] * partials, LAST]
    assert [event.partial_image_index for event in events[:-1]] == list(range(partials))
    assert events[0].iterate == 0
    assert all(one.iterate < other.iterate and one.rounds < other.rounds for one, other in pairwise(events))
    shown = [pixels(event.b64_json) for event in events]
    assert all(picture.shape == (64, 64, 3) for picture in shown)
    distances = [rms(picture, shown[-1]) for picture in shown]
    # The last ones may be the finished picture already, to the last bit of its pixels.
    assert all(one > other or one == 0 for one, other in pairwise(distances)), distances
    assert distances[0] > 0
    assert {(event.size, event.output_format, event.background) for event in events} == {("64x64", "png", "opaque")}
    completed = events[-1]
    assert [event.error_estimate for event in (events[0], completed)] == [None, 0]
    assert completed.usage.total_tokens == completed.usage.output_tokens == completed.evaluations > 50
    assert completed.created_at >= events[0].created_at > time.time() - 600


def test_a_picture(client: openai.OpenAI, plain: httpx.Client) -> None:
    raw = client.images.with_raw_response.generate(**HEART, extra_body=QUICK)
    answer = raw.parse()
    assert answer.data
    assert answer.usage
    assert (answer.size, answer.output_format, answer.background) == ("64x64", "png", "opaque")
    job = plain.get(f"/v1/jobs/{raw.headers['underpaint-job']}").json()
    assert job["state"] == "succeeded"
    assert {name: job["request"][name] for name in QUICK} == QUICK
    final = plain.get(job["images"][0]["links"]["final"])
    assert base64.b64decode(answer.data[0].b64_json or "") == final.content
    assert answer.usage.output_tokens == job["images"][0]["evaluations"]
    assert abs(answer.created - time.time()) < 600


def test_several_pictures_by_address(client: openai.OpenAI, plain: httpx.Client) -> None:
    answer = client.images.generate(**HEART, n=3, size="64x64", response_format="url", extra_body=QUICK)
    assert answer.data
    shown = [plain.get(picture.url or "") for picture in answer.data]
    assert [each.headers["underpaint-final"] for each in shown] == ["true"] * 3
    assert len({each.content for each in shown}) == 3
    assert all(picture.b64_json is None for picture in answer.data)


@pytest.mark.parametrize(("form", "signature"), [("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF"), ("png", b"\x89PNG")])
def test_formats(client: openai.OpenAI, form: Any, signature: bytes) -> None:
    answer = client.images.generate(**HEART, output_format=form, size="auto", quality="high", extra_body=QUICK)
    assert answer.data
    assert answer.output_format == form
    data = base64.b64decode(answer.data[0].b64_json or "")
    assert data.startswith(signature)
    exact = client.images.generate(**HEART, extra_body=QUICK).data
    assert exact
    assert rms(pixels(data), pixels(exact[0].b64_json)) < 5


def test_compression(client: openai.OpenAI) -> None:
    sizes: list[int] = []
    for quality in (20, 90, None):
        given: dict[str, Any] = {} if quality is None else {"output_compression": quality}
        answer = client.images.generate(**HEART, output_format="jpeg", extra_body=QUICK, **given)
        assert answer.data
        sizes.append(len(answer.data[0].b64_json or ""))
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("partials", [1, 3])
def test_partial_images_get_closer_to_the_finished_one(
    client: openai.OpenAI, plain: httpx.Client, partials: int
) -> None:
    stream = client.images.generate(**HEART, stream=True, partial_images=partials, extra_body=SLOW)
    events = list(stream)
    check(events, partials)
    # Each is an iterate of the job, to the byte.
    job = f"/v1/jobs/{stream.response.headers['underpaint-job']}"
    for event in events:
        served = plain.get(f"{job}/images/0/iterates/{event.iterate}")
        assert served.headers["underpaint-final"] == str(event.type == LAST).lower()
        assert served.content == base64.b64decode(event.b64_json)
    assert plain.get(job).json()["stopped"] == "exact"
    # Spread over the way, not all at its beginning.
    assert events[-2].rounds * partials >= events[-1].rounds * (partials - 1) * 0.9


def test_no_partial_images(client: openai.OpenAI) -> None:
    events = list(client.images.generate(**HEART, stream=True, extra_body=QUICK))
    assert [event.type for event in events] == [LAST]


def test_fewer_iterates_make_fewer_partial_images(client: openai.OpenAI) -> None:
    draft = {**QUICK, "max_iterations": 0}
    events = list(client.images.generate(**HEART, stream=True, partial_images=3, extra_body=draft))
    assert [event.type for event in events] == [LAST]
    serial = {**QUICK, "method": "serial"}
    events = list(client.images.generate(**HEART, stream=True, partial_images=3, extra_body=serial))
    assert [event.type for event in events][-1] == LAST
    assert len({event.b64_json for event in events}) == len(events) <= 2


def test_the_asynchronous_client(api: Api) -> None:
    async def use() -> None:
        async with openai.AsyncOpenAI(base_url=f"{api.address}/v1", api_key="any") as client:
            whole = client.images.generate(**HEART, extra_body=SLOW)
            stream = await client.images.generate(**HEART, stream=True, partial_images=2, extra_body=SLOW)
            events = [event async for event in stream]
            check(events, 2)
            data = (await whole).data
            assert data
            assert rms(pixels(data[0].b64_json), pixels(events[-1].b64_json)) < 1
            assert (await anext(aiter(client.models.list()))).id == "emoji"

    asyncio.run(use())


def test_a_job_that_is_accepted_ends_with_the_newest_partial_image(client: openai.OpenAI, plain: httpx.Client) -> None:
    stream = client.images.generate(**HEART, stream=True, partial_images=1, extra_body=ENDLESS)
    partial = next(stream)
    job = stream.response.headers["underpaint-job"]
    assert plain.post(f"/v1/jobs/{job}/accept").status_code == 202
    (completed,) = list(stream)
    assert completed.type == LAST
    final = plain.get(plain.get(f"/v1/jobs/{job}").json()["images"][0]["links"]["final"])
    assert base64.b64decode(completed.b64_json) == final.content
    if completed.iterate == partial.iterate:
        assert completed.b64_json == partial.b64_json


def test_a_job_that_is_canceled_is_an_error(client: openai.OpenAI, plain: httpx.Client) -> None:
    stream = client.images.generate(**HEART, stream=True, partial_images=1, extra_body=ENDLESS)
    next(stream)
    assert plain.post(f"/v1/jobs/{stream.response.headers['underpaint-job']}/cancel").status_code == 202
    with pytest.raises(openai.APIError, match="canceled") as raised:
        next(stream)
    assert raised.value.code == "generation_canceled"


def test_a_stream_that_is_left_cancels_its_job(client: openai.OpenAI, api: Api) -> None:
    stream = client.images.generate(**HEART, stream=True, partial_images=1, extra_body=ENDLESS)
    next(stream)
    stream.close()
    assert list(api.follow(stream.response.headers["underpaint-job"]))[-1].data["state"] == "canceled"


def test_a_stream_with_an_idempotency_key_can_be_left(client: openai.OpenAI, plain: httpx.Client) -> None:
    key = {"Idempotency-Key": "mine"}
    given: dict[str, Any] = {**HEART, "stream": True, "partial_images": 3, "extra_body": SLOW, "extra_headers": key}
    first = client.images.generate(**given)
    next(first)
    first.close()
    again = client.images.generate(**given)
    check(list(again), 3)
    assert again.response.headers["underpaint-job"] == first.response.headers["underpaint-job"]
    assert again.response.headers["idempotency-replayed"] == "true"
    assert len(plain.get("/v1/jobs").json()["jobs"]) == 1
