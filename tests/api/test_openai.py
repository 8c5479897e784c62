"""The official OpenAI client against the API alone: how it is refused, and how its retries are taken."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import UUID

import httpx
import openai
import pytest
from openai.types import ImagesResponse
from openai.types.images_response import Usage
from sqlalchemy import Engine

from api.encoding.formats import PNG
from api.problems import NoSuchModel
from api.surfaces.openai.request import read
from store import moves
from store.catalog import Catalog
from tests.api.worker import Worker
from tests.until import until

HEART: dict[str, Any] = {"prompt": "red heart"}
PATH = "/v1/images/generations"


@pytest.fixture
def official(client: httpx.Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=str(client.base_url.join("/v1")), api_key="any", max_retries=0, timeout=20) as made:
        yield made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def refused(official: openai.OpenAI, kind: type[openai.APIStatusError], **request: Any) -> openai.APIStatusError:
    with pytest.raises(kind) as raised:
        official.images.generate(**{**HEART, **request})
    assert raised.value.message
    assert raised.value.request_id == raised.value.response.headers["x-request-id"]
    assert list(raised.value.response.json()) == ["error"]
    assert raised.value.response.headers["content-type"] == "application/json"
    return raised.value


def jobs(client: httpx.Client) -> list[dict[str, Any]]:
    return client.get("/v1/jobs").json()["jobs"]


def first_job(client: httpx.Client) -> str:
    """The job that somebody is about to submit."""
    while not (found := jobs(client)):
        pass
    return found[0]["id"]


@pytest.mark.parametrize(
    ("request_", "param", "message"),
    [
        ({"prompt": ""}, "prompt", "must not be blank"),
        ({"prompt": "x" * 301, "extra_body": {"strict": True}}, "prompt", "at most 300 characters"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 9}, "n", "must be from 1 to 8"),
        ({"size": "1024x1024", "extra_body": {"strict": True}}, "size", "must be 64"),
        ({"size": "large"}, "size", "must be auto, or WIDTHxHEIGHT"),
        ({"size": "64x64", "extra_body": {"width": 64}}, "size", "must be left out"),
        ({"output_format": "gif"}, "output_format", "must be 'png', 'jpeg' or 'webp'"),
        ({"output_format": "webp", "output_compression": 101}, "output_compression", "less than or equal to 100"),
        ({"output_compression": 50}, "output_compression", "must be 100 for png"),
        ({"background": "transparent", "extra_body": {"strict": True}}, "background", "must be opaque or auto"),
        ({"background": "blue"}, "background", "must be 'opaque', 'auto' or 'transparent'"),
        ({"response_format": "url", "output_format": "jpeg"}, "output_format", "must be png with url"),
        ({"response_format": "file"}, "response_format", "must be 'b64_json' or 'url'"),
        ({"partial_images": 2}, "partial_images", "must be 0 without stream"),
        ({"stream": True, "partial_images": 4}, "partial_images", "less than or equal to 3"),
        ({"stream": True, "n": 2}, "n", "must be 1 with stream"),
        ({"stream": True, "response_format": "url"}, "response_format", "must be b64_json with stream"),
        ({"stream": True, "partial_images": 1, "extra_body": {"previews": False}}, "partial_images", "previews off"),
        ({"extra_body": {"steps": 0}}, "steps", "must be from 1 to 1000"),
        ({"extra_body": {"images": 2}}, "images", "is called n here"),
        ({"extra_body": {"colour": "red"}}, "colour", "leave it out"),
        ({"frame_count": 3}, "frame_count", "leave it out"),
        ({"svg": {"model": "any"}}, "svg", "leave it out"),
    ],
)
def test_a_bad_request(
    official: openai.OpenAI, client: httpx.Client, request_: dict[str, Any], param: str, message: str
) -> None:
    error = refused(official, openai.BadRequestError, **request_)
    assert (error.param, error.type) == (param, "invalid_request_error")
    assert f"{param} " in error.message
    assert message in error.message
    assert error.code == (
        "unknown_parameter" if "leave it out" in message or "is called" in message else "invalid_value"
    )
    assert not jobs(client)


@pytest.mark.parametrize(
    "request_",
    [
        {"response_format": "url"},
        {"response_format": "url", "output_format": "png"},
        {"output_format": "jpeg", "output_compression": 50},
        {"output_format": "webp", "output_compression": 0},
        {"output_format": "webp"},
        {"output_compression": 100},
        {"stream": True, "n": 1},
        {"stream": True, "partial_images": 3},
        {"partial_images": 0, "previews": False},
        {"n": 2, "previews": False},
        {"size": "64x64"},
        {"size": "auto"},
        {"width": 64, "height": 64},
    ],
)
def test_fields_that_go_together(catalog: Catalog, request_: dict[str, Any]) -> None:
    wanted = read(catalog, {**HEART, **request_})
    assert wanted.url == (request_.get("response_format") == "url")
    quality = {} if wanted.form == PNG else {"quality": request_.get("output_compression", 100)}
    assert wanted.form.options == quality
    assert wanted.partials == (request_.get("partial_images", 0) if "stream" in request_ else None)


def test_all_problems_of_a_request_are_reported_at_once(official: openai.OpenAI) -> None:
    error = refused(official, openai.BadRequestError, n=0, size="large", extra_body={"steps": 0, "seed": -1})
    assert all(field in error.message for field in ("n must", "size must", "steps must", "seed must"))


def test_other_refusals(official: openai.OpenAI, client: httpx.Client) -> None:
    error = refused(official, openai.NotFoundError, model="dall-e-9")
    assert (error.code, error.param) == ("model_not_found", "model")
    assert "emoji" in error.message
    assert client.post(PATH, json={}).json()["error"]["code"] == "missing_required_parameter"
    assert client.post(PATH, content="{", headers={"Content-Type": "application/json"}).status_code == 400
    assert client.post(PATH, content="{}", headers={"Content-Type": "text/plain"}).json()["error"]["code"] == "not_json"
    assert client.get(PATH).json()["error"]["code"] == "method_not_allowed"
    large = client.post(PATH, content=b" " * 262145, headers={"Content-Type": "application/json"})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    with pytest.raises(openai.NotFoundError, match="Nothing is served here"):
        official.post("/images/upscales", body={}, cast_to=object)


def test_names_that_clients_have_built_in(catalog: Catalog) -> None:
    assert read(catalog, {**HEART, "model": "dall-e-3"}).generation.model == "emoji"
    with pytest.raises(NoSuchModel):
        read(catalog, {**HEART, "model": "dall-e-3"}, built_in=False)
    other = catalog.default.model_copy(update={"id": "other", "aliases": ["dall-e-3"]})
    more = Catalog({**catalog, "other": other})
    for built_in in (True, False):
        assert read(more, {**HEART, "model": "dall-e-3"}, built_in=built_in).generation.model == "other"
    assert read(more, {**HEART, "model": "dall-e-2"}).generation.model == "emoji"


@pytest.mark.parametrize(
    ("size", "made"),
    [("1024x1024", "128x128"), ("1536x1024", "128x128"), ("70x100", "72x96"), ("1x99999", "64x128"), ("64x128", None)],
)
def test_the_nearest_size_is_made(catalog: Catalog, size: str, made: str | None) -> None:
    card = catalog.default
    limits = card.limits.model_copy(update={"max_size": 130})
    wider = Catalog({card.id: card.model_copy(update={"limits": limits})})
    wanted = read(wider, {**HEART, "size": size})
    assert wanted.size == (made or size)
    assert [warning.field for warning in wanted.warnings] == (["size"] if made else [])
    assert all(wanted.size in warning.message for warning in wanted.warnings)


def test_what_was_changed_is_told(client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor) -> None:
    request = {"prompt": "x" * 301, "size": "1024x1024", "model": "gpt-image-1", "guidance_scale": 1.0}
    request["background"] = "transparent"
    sent = pool.submit(client.post, "/images/generations", json={**request, "negative_prompt": "blue"})
    job = first_job(client)
    worker.run(job)
    answer = sent.result()
    assert answer.status_code == 200
    assert [warning["field"] for warning in answer.json()["warnings"]] == [
        "background",
        "size",
        "prompt",
        "negative_prompt",
    ]
    assert answer.json()["size"] == "64x64"
    read_job = client.get(f"/v1/jobs/{job}").json()
    assert read_job["warnings"] == answer.json()["warnings"]
    assert read_job["request"]["prompt"] == "x" * 300


@pytest.mark.parametrize("header", ["api-key", "X-Api-Key"])
def test_keys_in_other_headers(holder: Callable[..., httpx.Client], header: str) -> None:
    client = holder("one")
    key = client.headers.pop("Authorization").removeprefix("Bearer ")
    assert client.get("/v1/jobs").status_code == 401
    assert client.get("/v1/jobs", headers={header: key}).status_code == 200
    assert client.get("/v1/jobs", headers={header: "up_wrong"}).status_code == 401


def test_keys(holder: Callable[..., httpx.Client], make_key: Callable[..., str]) -> None:
    address = str(holder("one").base_url.join("/v1"))
    for key, kind, code in (
        ("wrong", openai.AuthenticationError, "invalid_api_key"),
        (make_key("reader", "read"), openai.PermissionDeniedError, "forbidden"),
    ):
        with openai.OpenAI(base_url=address, api_key=key, max_retries=0) as client:
            assert refused(client, kind).code == code
    with openai.OpenAI(base_url=address, api_key="wrong") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_models(official: openai.OpenAI, client: httpx.Client) -> None:
    listed = official.models.list().data
    both = client.get("/v1/models").json()
    assert [model.id for model in listed] == [model["id"] for model in both["models"]] == ["emoji"]
    model = official.models.retrieve("emoji")
    assert (model.object, model.owned_by, model.created) == ("model", "underpaint", listed[0].created)
    assert model.created > 1_600_000_000
    assert client.get("/v1/models/emoji").json() == both["models"][0]
    with pytest.raises(openai.NotFoundError) as raised:
        official.models.retrieve("dall-e-3")
    assert raised.value.code == "model_not_found"
    assert raised.value.response.json()["type"] == "urn:underpaint:problem:model-not-found"


def test_what_is_ignored_is_taken(
    official: openai.OpenAI, client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor
) -> None:
    ignored: dict[str, Any] = {
        "quality": "hd",
        "style": "vivid",
        "moderation": "low",
        "user": "me",
        "background": "auto",
    }
    answer = pool.submit(lambda: official.images.generate(**HEART, **ignored))
    worker.run(first_job(client))
    assert answer.result().data


def test_a_failed_job_is_not_tried_again(
    official: openai.OpenAI, client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor
) -> None:
    answer: Future[Any] = pool.submit(refused, official.with_options(max_retries=2), openai.InternalServerError)
    job = first_job(client)
    worker.claim(job)
    worker.fail(job, "the state is not finite")
    assert answer.result().code == "generation_failed"
    assert "the state is not finite" in answer.result().message
    assert len(jobs(client)) == 1


def test_a_canceled_job_is_not_tried_again(
    official: openai.OpenAI, client: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    answer: Future[Any] = pool.submit(refused, official.with_options(max_retries=2), openai.ConflictError)
    client.post(f"/v1/jobs/{first_job(client)}/cancel")
    assert answer.result().code == "generation_canceled"
    assert len(jobs(client)) == 1


def test_a_retry_of_the_client_joins_its_first_job(
    client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor
) -> None:
    again = Event()

    def seen(request: Any) -> None:
        if request.headers["x-stainless-retry-count"] == "1":
            again.set()

    # The first attempt has no chance: nobody runs the job yet.
    inner = openai.DefaultHttpxClient(event_hooks={"request": [seen]})
    with openai.OpenAI(
        base_url=str(client.base_url.join("/v1")), api_key="any", timeout=3, max_retries=1, http_client=inner
    ) as official:
        answer = pool.submit(lambda: official.images.with_raw_response.generate(**HEART))
        job = first_job(client)
        assert again.wait(20)
        worker.run(job)
        raw = answer.result()
    assert raw.headers["underpaint-job"] == job
    assert raw.headers["idempotency-replayed"] == "true"
    assert raw.parse().data
    assert len(jobs(client)) == 1


def attempt(client: httpx.Client, retries: int, **headers: str) -> httpx.Response:
    return client.post(PATH, json=HEART, headers={"X-Stainless-Retry-Count": str(retries), **headers})


def test_a_retry_joins_the_job_of_its_own_key(holder: Callable[..., httpx.Client], worker: Worker) -> None:
    made: list[tuple[httpx.Client, str]] = []
    for name in ("one", "two"):
        client = holder(name)
        with pytest.raises(httpx.ReadTimeout):
            client.post(PATH, json=HEART, headers={"X-Stainless-Retry-Count": "0"}, timeout=3)
        made.append((client, first_job(client)))
    for client, job in made:
        worker.run(job)
        assert attempt(client, 1).headers["underpaint-job"] == job


def test_who_has_the_pictures_asks_for_others(client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor) -> None:
    made: list[str] = []
    for retries in (0, 1, 1):
        answer = pool.submit(attempt, client, retries)
        while len(jobs(client)) == len(made):
            pass
        worker.run(jobs(client)[0]["id"])
        made.append(answer.result().headers["underpaint-job"])
    assert len(set(made)) == 3


def test_first_attempts_are_jobs_of_their_own(client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor) -> None:
    answers = [pool.submit(attempt, client, 0) for _ in range(2)]
    while len(found := jobs(client)) < 2:
        pass
    for job in found:
        worker.run(job["id"])
    assert {answer.result().headers["underpaint-job"] for answer in answers} == {job["id"] for job in found}


def test_an_idempotency_key_makes_one_job(client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor) -> None:
    key = {"Idempotency-Key": "mine"}
    answers = [pool.submit(attempt, client, 0, **key) for _ in range(4)]
    job = first_job(client)
    worker.run(job)
    assert {answer.result().headers["underpaint-job"] for answer in answers} == {job}
    assert attempt(client, 0, **key).json() == answers[0].result().json()
    other = client.post(PATH, json={"prompt": "cat face"}, headers=key)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    # On another path it is another request.
    assert client.post("/v1/jobs", json=HEART, headers=key).status_code == 422


@pytest.mark.parametrize("retries", ["9" * 5000, "0" * 5000, "-1", "many", "1_0"])
def test_any_number_of_retries_is_taken(
    client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor, retries: str
) -> None:
    sent = pool.submit(client.post, PATH, json=HEART, headers={"X-Stainless-Retry-Count": retries})
    worker.run(first_job(client))
    assert sent.result().status_code == 200


def leave(client: httpx.Client, **headers: str) -> str:
    """Begin a stream and disconnect. Returns the job."""
    with client.stream("POST", PATH, json={**HEART, "stream": True}, headers=headers) as response:
        assert response.status_code == 200
        next(response.iter_lines())
    return response.headers["underpaint-job"]


def test_leaving_a_stream_cancels_only_a_job_that_nobody_else_can_have_joined(client: httpx.Client) -> None:
    with_key = leave(client, **{"Idempotency-Key": "mine"})
    retried = leave(client, **{"X-Stainless-Retry-Count": "1"})
    alone = leave(client)
    until(lambda: client.get(f"/v1/jobs/{alone}").json()["state"] == "canceled")
    assert {client.get(f"/v1/jobs/{job}").json()["state"] for job in (with_key, retried)} == {"queued"}


def test_a_stream_that_fails_does_not_cancel_its_job(client: httpx.Client, worker: Worker) -> None:
    """The client has not left, and can still get the picture by its address."""
    request = {**HEART, "stream": True, "partial_images": 1, "output_format": "webp"}
    with client.stream("POST", PATH, json=request) as response:
        job = response.headers["underpaint-job"]
        worker.claim(job)
        worker.start(job)
        worker.save(job, 0, b"no picture")
        assert "event: error" in list(response.iter_lines())
    left = leave(client)
    until(lambda: client.get(f"/v1/jobs/{left}").json()["state"] == "canceled")
    assert client.get(f"/v1/jobs/{job}").json()["cancel_requested"] is False


@pytest.mark.parametrize(
    ("request_", "url"),
    [
        ({"model": "dall-e-3"}, True),
        ({"model": "dall-e-2", "response_format": "b64_json"}, False),
        ({"model": "dall-e-2", "output_format": "webp"}, False),
        ({"model": "dall-e-2", "stream": True}, False),
        ({"model": "gpt-image-1"}, False),
        ({"model": "emoji"}, False),
        ({}, False),
    ],
)
def test_dall_e_is_answered_with_addresses(catalog: Catalog, request_: dict[str, Any], url: bool) -> None:
    assert read(catalog, {**HEART, **request_}).url == url


def test_an_address_works_without_the_key_until_it_expires(
    holder: Callable[..., httpx.Client], worker: Worker, pool: ThreadPoolExecutor
) -> None:
    client = holder("one")
    answer = pool.submit(client.post, PATH, json={**HEART, "model": "dall-e-3", "n": 2})
    job = first_job(client)
    worker.run(job, images=2)
    first, second = [httpx.URL(picture["url"]) for picture in answer.result().json()["data"]]
    for url in (first, second):
        with httpx.Client(trust_env=False) as nobody:
            assert nobody.get(url).headers["content-type"] == "image/png"
            assert nobody.get(url, headers={"Accept": "image/webp"}).headers["content-type"] == "image/webp"
    swapped = second.copy_with(query=first.query)
    later = first.copy_set_param("expires", str(int(first.params["expires"]) + 1))
    earlier = first.copy_set_param("expires", "1")
    latest = first.copy_with(path=first.path.rpartition("/")[0] + "/latest")
    others = [first.copy_with(path=f"/v1/jobs/{job}{path}") for path in ("", "/iterates", "/events")]
    with httpx.Client(trust_env=False) as nobody:
        for url in (swapped, later, earlier, latest, *others, first.copy_with(query=None)):
            assert nobody.get(url).status_code == 401, url
        assert nobody.delete(first.copy_with(path=f"/v1/jobs/{job}")).status_code == 401


def test_a_client_that_leaves_and_will_not_ask_again_cancels_its_job(client: httpx.Client) -> None:
    for headers in ({"X-Stainless-Retry-Count": "0"}, {"Idempotency-Key": "mine"}, {}):
        with pytest.raises(httpx.ReadTimeout):
            client.post(PATH, json=HEART, headers=headers, timeout=1)
    # When the server has noticed that the last one left, it knows of the others.
    until(lambda: [job["state"] for job in jobs(client)] == ["canceled", "queued", "queued"])


def test_the_deadline_of_the_client_is_no_fault_of_the_server(
    official: openai.OpenAI, client: httpx.Client, pool: ThreadPoolExecutor, database: Engine
) -> None:
    late = {"extra_body": {"deadline_seconds": 0.01}}
    answer: Future[Any] = pool.submit(refused, official.with_options(max_retries=2), openai.InternalServerError, **late)
    job = UUID(first_job(client))

    def expired() -> list[UUID]:
        with database.begin() as connection:
            return [row.id for row in connection.execute(moves.expire())]

    assert until(expired) == [job]
    assert (answer.result().status_code, answer.result().code) == (504, "deadline_exceeded")
    assert len(jobs(client)) == 1


def test_an_answer_has_all_members_that_the_client_knows(
    client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor
) -> None:
    answer = pool.submit(client.post, "/images/generations", json={**HEART, "quality": "high"})
    worker.run(first_job(client))
    body = answer.result().json()
    assert body.keys() >= ImagesResponse.model_fields.keys() - {"svg_usage", "safety_identifier"}
    assert body["data"][0].keys() == openai.types.Image.model_fields.keys()
    assert body["usage"].keys() >= Usage.model_fields.keys()
    assert (body["quality"], body["warnings"]) == ("high", [])


def test_the_models_without_v1(client: httpx.Client) -> None:
    assert client.get("/models").json() == client.get("/v1/models").json()
    assert client.get("/models/emoji").json() == client.get("/v1/models/emoji").json()
    assert client.get("/models/none").json()["error"]["code"] == "model_not_found"
