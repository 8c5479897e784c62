"""Who may read the metrics."""

from collections.abc import Callable
from pathlib import Path

import httpx
from sqlalchemy import Engine

from tests.api.problem import problem
from tests.api.serving import serving

TOKEN = {"Authorization": "Bearer hush"}
Holder = Callable[..., httpx.Client]


def test_without_keys_and_token_whoever_reaches_the_server(client: httpx.Client) -> None:
    assert "underpaint_" in client.get("/metrics").text


def test_with_keys_an_admin(holder: Holder, keyed_address: str) -> None:
    assert holder("admin", "admin").get("/metrics").status_code == 200
    refused = problem(holder("reader", "read").get("/metrics"), 403, "forbidden")
    assert "UNDERPAINT_METRICS_TOKEN" in refused["detail"]
    problem(httpx.get(f"{keyed_address}/metrics", trust_env=False), 401, "unauthorized")
    problem(httpx.get(f"{keyed_address}/metrics", headers=TOKEN, trust_env=False), 401, "unauthorized")


def test_with_a_token_whoever_sends_it(postgres_url: str, redis_url: str, database: Engine, tmp_path: Path) -> None:
    stores = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with (
        serving(tmp_path / "log", **stores, UNDERPAINT_METRICS_TOKEN="hush") as address,
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        problem(client.get("/metrics"), 401, "unauthorized")
        assert client.get("/metrics", headers=TOKEN).status_code == 200
        assert client.get("/metrics", headers={**TOKEN, "Host": "prometheus.example"}).status_code == 200
