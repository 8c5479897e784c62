"""Limits: requests a minute, queued jobs, sizes; and what browsers may do."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import Engine

from tests.api.conftest import within_a_minute
from tests.api.problem import problem
from tests.api.serving import serving
from tests.api.worker import Worker

Holder = Callable[..., httpx.Client]


def models(*clients: httpx.Client) -> list[httpx.Response]:
    return [client.get("/v1/models") for client in clients]


def test_a_key_that_asks_too_often_waits(holder: Holder) -> None:
    answers = within_a_minute(lambda: models(*[holder("hasty", requests_per_minute=5)] * 7))
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    for left, answer in zip([4, 3, 2, 1, 0, 0, 0], answers, strict=True):
        assert answer.headers["ratelimit-policy"] == '"requests";q=5;w=60'
        quota, seconds = answer.headers["ratelimit"].split(";t=")
        assert quota == f'"requests";r={left}'
        assert 1 <= int(seconds) <= 60
    assert "5 requests a minute" in problem(answers[-1], 429, "too-many-requests")["detail"]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert holder("other").get("/v1/models").headers["ratelimit-policy"] == '"requests";q=1200;w=60'


@pytest.mark.slow
def test_all_processes_count_together(
    holder: Holder, make_key: Callable[..., str], postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    stores = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path / "log", **stores) as address, httpx.Client(base_url=address, trust_env=False) as two:

        def send() -> list[httpx.Response]:
            one = holder("ann", requests_per_minute=4)
            two.headers["Authorization"] = one.headers["Authorization"]
            return models(*[one] * 3, *[two] * 3)

        answers = within_a_minute(send)
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2


def test_without_redis_nobody_is_counted(make_key: Callable[..., str], postgres_url: str, tmp_path: Path) -> None:
    stores = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": "redis://127.0.0.1:1/0"}
    headers = {"Authorization": f"Bearer {make_key('ann', requests_per_minute=1)}"}
    with serving(tmp_path / "log", **stores) as address:
        answers = [httpx.get(f"{address}/v1/jobs", headers=headers, trust_env=False) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert "ratelimit" not in answers[0].headers
    assert "not counted while Redis is away" in (tmp_path / "log").read_text()


def test_counting_goes_on_in_a_redis_that_was_emptied(holder: Holder, valkey: redis.Redis) -> None:
    def send() -> list[httpx.Response]:
        client = holder("ann", requests_per_minute=2)
        before = models(*[client] * 3)
        valkey.flushall()
        valkey.script_flush()
        return before + models(*[client] * 3)

    answers = within_a_minute(send)
    assert [answer.status_code for answer in answers] == [200, 200, 429] * 2


def test_a_key_has_only_so_many_queued_jobs(holder: Holder, worker: Worker) -> None:
    client, other = holder("ann", max_queued=3), holder("bob")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/jobs", json={"prompt": "red heart"}), range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 5
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "3 jobs of this key" in problem(refused, 429, "too-many-queued")["detail"]
    assert int(refused.headers["retry-after"]) > 0
    assert other.post("/v1/jobs", json={"prompt": "red heart"}).status_code == 202

    job = next(answer for answer in answers if answer.status_code == 202).json()["id"]
    worker.run(job)  # one of the three is queued no more
    assert client.post("/v1/jobs", json={"prompt": "red heart"}).status_code == 202
    problem(client.post(f"/v1/jobs/{job}/refine", json={"tolerance": 0}), 429, "too-many-queued")


def test_a_head_that_is_too_large(client: httpx.Client) -> None:
    refused = client.get("/v1/models", headers={"X-Long": "x" * 17_000})
    assert "16384" in problem(refused, 431, "head-too-large")["detail"]
    assert client.get("/v1/models", headers={"X-Long": "x" * 15_000}).status_code == 200
    refused = client.get("/v1/jobs", params={"model": "x" * 9000})
    assert "8192" in problem(refused, 414, "path-too-long")["detail"]
    problem(client.get("/v1/" + "x" * 9000), 414, "path-too-long")


def test_answers_are_kept_where_they_belong(holder: Holder, worker: Worker) -> None:
    client = holder("ann")
    job = client.post("/v1/jobs", json={"prompt": "red heart"}).json()["id"]
    worker.run(job)
    for path in (f"/v1/jobs/{job}", "/v1/jobs", f"/v1/jobs/{job}/images/0/iterates/0", "/v1/models", "/v1/none"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "private" in headers["cache-control"] or headers["cache-control"] == "no-store"
        assert "Authorization" in headers["vary"]
        assert "public" not in headers["cache-control"]


def asked_by_a_page(address: str, origin: str) -> tuple[httpx.Response, httpx.Response]:
    """What a browser is answered that asks before a submission, and then submits without a key."""
    asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    wanted = {"Access-Control-Request-Headers": "authorization,content-type,idempotency-key"}
    before = httpx.options(f"{address}/v1/jobs", headers={**asking, **wanted}, trust_env=False)
    return before, httpx.post(f"{address}/v1/jobs", json={}, headers={"Origin": origin}, trust_env=False)


def test_pages_of_other_origins_are_let_in_where_settings_say(
    client: httpx.Client, database: Engine, postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    for answer in asked_by_a_page(str(client.base_url), "https://app.example"):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    stores = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    origins = "https://app.example, https://two.example"
    with serving(tmp_path / "log", **stores, UNDERPAINT_CORS_ORIGINS=origins) as address:
        before, answer = asked_by_a_page(address, "https://app.example")
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == "https://app.example"
        assert "authorization" in before.headers["access-control-allow-headers"].lower()
        assert answer.status_code == 422
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert {"ETag", "Location", "RateLimit", "Retry-After"} <= set(
            answer.headers["access-control-expose-headers"].split(", ")
        )
        assert "access-control-allow-credentials" not in answer.headers
        before, answer = asked_by_a_page(address, "https://evil.example")
        assert before.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
