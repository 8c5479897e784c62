"""Submitting a job: what is accepted, what is refused, and the responses."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import httpx
import pytest
import redis
from sqlalchemy import Engine

from contract.words import Method, Solver
from tasks.queue import QUEUE, WORK
from tests.api.conftest import wait_until_sent
from tests.api.problem import faults, problem
from tests.choices import choices

FULL = {
    "model": "emoji",
    "prompt": "a red heart",
    "negative_prompt": "blue",
    "method": "auto",
    "steps": 25,
    "solver": "ddim",
    "eta": 0.5,
    "guidance_scale": 2.5,
    "guidance_rescale": 0.7,
    "true_cfg_scale": 1,
    "width": 64,
    "height": 64,
    "image": None,
    "mask": None,
    "strength": None,
    "references": [],
    "seed": 7,
    "images": 2,
    "blocks": 5,
    "tolerance": 0.01,
    "max_iterations": 3,
    "wish": "cost",
    "loras": [],
    "previews": False,
}


def send(client: httpx.Client, content: bytes | str, kind: str | None = "application/json") -> httpx.Response:
    return client.post("/v1/jobs", content=content, headers={} if kind is None else {"Content-Type": kind})


def test_a_prompt_is_enough(client: httpx.Client) -> None:
    response = client.post("/v1/jobs", json={"prompt": "red heart"})
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == job["links"]["self"] == str(client.base_url.join(f"/v1/jobs/{job['id']}"))
    assert response.headers["retry-after"] == "1"
    assert job["state"] == "queued"
    assert job["queue_position"] == 1
    assert job["request"]["steps"] == 50
    assert job["request"]["method"] == "auto"
    assert [image["seed"] for image in job["images"]] == [job["request"]["seed"]]
    assert client.get(response.headers["location"]).json() == job


def test_every_field_is_kept(client: httpx.Client) -> None:
    job = client.post("/v1/jobs", json=FULL).json()
    assert job["request"] == FULL
    assert [(image["number"], image["seed"]) for image in job["images"]] == [(0, 7), (1, 8)]


def test_null_is_the_same_as_left_out(client: httpx.Client) -> None:
    nulls = dict.fromkeys(FULL)
    explicit = client.post("/v1/jobs", json={**nulls, "prompt": "red heart", "seed": 1}).json()["request"]
    left_out = client.post("/v1/jobs", json={"prompt": "red heart", "seed": 1}).json()["request"]
    assert explicit == left_out


def test_the_job_is_on_the_queue_and_marked_sent(client: httpx.Client, database: Engine, valkey: redis.Redis) -> None:
    job = client.post("/v1/jobs", json={"prompt": "red heart"}).json()["id"]
    wait_until_sent(database, job)
    messages = valkey.lrange(QUEUE, 0, -1)
    assert isinstance(messages, list)
    assert len(messages) == 1
    assert json.loads(messages[0])["headers"]["task"] == WORK
    assert job not in messages[0].decode()  # which would outlive its deletion


def test_the_answer_is_what_is_read_afterwards(client: httpx.Client) -> None:
    """It is put together from what was saved, and not read again."""
    asked = {"priority": "high", "deadline_seconds": 60.5, "webhook": {"url": "https://1.1.1.1/hook"}}
    for request in ({"prompt": "red heart"}, {**FULL, **asked}):
        created = client.post("/v1/jobs", json=request).json()
        assert created == client.get(created["links"]["self"]).json()


def test_every_job_of_a_burst_is_told_its_place(client: httpx.Client, database: Engine) -> None:
    """With more requests at once than are worked on at once, and than there are connections to the database."""
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda seed: client.post("/v1/jobs", json={"prompt": "x", "seed": seed}), range(60)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 60
    places = sorted(answer.json()["queue_position"] for answer in answers)
    assert all(1 <= place <= 60 for place in places)
    assert places[-1] > 50
    for answer in answers:
        wait_until_sent(database, answer.json()["id"])


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/cloudevents+json"]
)
def test_json_by_other_names(client: httpx.Client, kind: str) -> None:
    assert send(client, '{"prompt": "Schöne Grüße 🎈"}', kind).json()["request"]["prompt"] == "Schöne Grüße 🎈"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model", "nope", "must be one of the models on offer: emoji"),
        ("model", 3, "must be one of the models on offer: emoji"),
        ("model", "", "must be one of the models on offer: emoji"),
        ("prompt", "", "must"),
        ("prompt", " \n", "must not be blank"),
        ("prompt", "x" * 301, "at most 300 characters"),
        ("prompt", 3, "must be a valid string"),
        ("prompt", ["red heart"], "must be a valid string"),
        ("prompt", None, "is required"),
        ("prompt", "red\0heart", "NUL"),
        ("negative_prompt", "x" * 301, "at most 300 characters"),
        ("negative_prompt", {}, "must be a valid string"),
        ("negative_prompt", "\0", "NUL"),
        ("method", "ddim", "must be " + choices(get_args(Method), "'")),
        ("method", [], "must be " + choices(get_args(Method), "'")),
        ("steps", 0, "must be from 1 to 1000"),
        ("steps", 1001, "must be from 1 to 1000"),
        ("steps", 25.5, "integer"),
        ("steps", "25", "integer"),
        ("steps", True, "integer"),
        ("steps", 10**400, "must be from 1 to 1000"),
        ("solver", "rk4", "must be " + choices(get_args(Solver), "'")),
        ("solver", ["ddim"], "must be 'ddim'"),
        ("solver", "heun", None),
        ("eta", 0.5, "must be left out unless solver is ddim"),
        ("eta", 0, None),
        ("guidance_rescale", 1.1, "must be from 0 to 1"),
        ("guidance_rescale", 0.7, None),
        ("true_cfg_scale", 2, "must be left out: model emoji does not take it"),
        ("true_cfg_scale", 1, None),
        ("guidance_scale", 0.9, "must be from 1 to 20"),
        ("guidance_scale", 21, "must be from 1 to 20"),
        ("guidance_scale", "3", "number"),
        ("width", 72, "must be 64"),
        ("width", 64.5, "integer"),
        ("height", -64, "must be 64"),
        ("height", None, None),
        ("seed", -1, "must be from 0 to 4294967295"),
        ("seed", 2**32, "must be from 0 to 4294967295"),
        ("seed", "7", "integer"),
        ("images", 0, "must be from 1 to 8"),
        ("images", 9, "must be from 1 to 8"),
        ("images", "1", "integer"),
        ("blocks", 0, "must be from 1 to 1000"),
        ("blocks", 51, "must be at most the number of steps, 50"),
        ("blocks", 2.5, "integer"),
        ("tolerance", -0.1, "must be from 0 to 1"),
        ("tolerance", 1.1, "must be from 0 to 1"),
        ("tolerance", "0.1", "number"),
        ("max_iterations", -1, "must be from 0 to 1000"),
        ("max_iterations", 1.5, "integer"),
        ("previews", "yes", "boolean"),
        ("previews", 1, "boolean"),
        ("promt", "red heart", "is not a field of a request: leave it out"),
    ],
)
def test_bad_values_are_reported_by_field(client: httpx.Client, field: str, value: Any, message: str | None) -> None:
    response = client.post("/v1/jobs", json={"prompt": "red heart", field: value})
    if message is None:
        assert response.status_code == 202
        return
    found = faults(response)
    assert list(found) == [field]
    assert message in found[field]
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_values_that_contradict_each_other(client: httpx.Client) -> None:
    seeds = faults(client.post("/v1/jobs", json={"prompt": "x", "seed": 2**32 - 1, "images": 2}))
    assert list(seeds) == ["seed"]
    serial = {"prompt": "x", "method": "serial", "blocks": 5, "tolerance": 0.1, "max_iterations": 2}
    assert faults(client.post("/v1/jobs", json=serial)) == dict.fromkeys(
        ["blocks", "tolerance", "max_iterations"], "must be left out when method is serial"
    )


def test_all_faults_at_once(client: httpx.Client) -> None:
    request = {"steps": 0, "width": "64", "seed": -1, "colour": "red", "images": 99}
    assert faults(client.post("/v1/jobs", json=request)).keys() == {"prompt", *request}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is required"),
        (b"[]", "must be a JSON object"),
        (b'"red heart"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"prompt": "red heart"', "is not JSON: Expecting ',' delimiter at character 22"),
        (b"red heart", "is not JSON"),
        (b'{"prompt": "\xff"}', "must be JSON, in UTF-8"),
        (b'{"prompt": "x", "steps": ' + b"9" * 5000 + b"}", "must be JSON"),
        (b"[" * 30000, "must be JSON"),
    ],
)
def test_bodies_that_are_no_request(client: httpx.Client, content: bytes, message: str) -> None:
    found = faults(send(client, content))
    assert list(found) == ["body"]
    assert message in found["body"]


def test_whole_numbers_may_have_a_point(client: httpx.Client) -> None:
    request = client.post("/v1/jobs", json={"prompt": "x", "steps": 25.0, "seed": 7.0}).json()["request"]
    assert (request["steps"], request["seed"], request["guidance_scale"]) == (25, 7, 3.0)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(client: httpx.Client, number: str) -> None:
    assert "tolerance" in faults(send(client, f'{{"prompt": "x", "tolerance": {number}}}'))


@pytest.mark.parametrize(
    "body", [r'{"prompt": "\ud83d"}', r'{"prompt": "x", "\ud83d": 1}', r'{"prompt": "x", "a": ["\udc00"]}']
)
def test_half_a_character_is_no_text(client: httpx.Client, body: str) -> None:
    assert "half of a pair" in faults(send(client, body))["body"]


@pytest.mark.parametrize("depth", [50, 500, 900, 950, 1000, 2000, 20000])
def test_deep_bodies(client: httpx.Client, depth: int) -> None:
    assert faults(send(client, '{"prompt": "x", "a": ' + "[" * depth + "]" * depth + "}"))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", None])
def test_a_body_that_does_not_say_that_it_is_json(client: httpx.Client, kind: str | None) -> None:
    body = problem(send(client, '{"prompt": "red heart"}', kind), 415, "not-json")
    assert "Content-Type: application/json" in body["detail"]


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 1024):
        yield b" " * 1024


def test_a_large_body_is_refused_by_its_announced_length(client: httpx.Client) -> None:
    response = send(client, b" " * 262145)
    assert "262144 bytes" in problem(response, 413, "body-too-large")["detail"]
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("size", [512 * 1024, 8 * 2**20])
def test_a_large_body_is_refused_without_an_announced_length(client: httpx.Client, size: int) -> None:
    response = client.post("/v1/jobs", content=chunks(size), headers={"Content-Type": "application/json"})
    problem(response, 413, "body-too-large")


@pytest.mark.parametrize(
    ("announced", "sent", "more"),
    [(8 * 2**20, 8 * 2**20, ""), (2**40, 1000, ""), (2**40, 0, "Expect: 100-continue\r\n")],
    ids=["all", "some", "nothing"],
)
def test_who_reads_only_after_sending_is_answered(client: httpx.Client, announced: int, sent: int, more: str) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=20) as raw:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\n{more}\r\n"
        raw.sendall(head.encode() + b" " * sent)
        answer = b"".join(iter(lambda: raw.recv(65536), b""))  # until the server closes the connection
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body-too-large" in answer


def test_a_body_of_the_greatest_length_is_read(client: httpx.Client) -> None:
    body = b'{"prompt": "red heart"}'
    assert send(client, body + b" " * (262144 - len(body))).status_code == 202
