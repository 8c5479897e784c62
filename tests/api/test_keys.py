"""Keys: what they allow, and when they stop to work."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text

from store import keys
from tests.api.problem import problem
from tests.api.serving import serving
from tests.until import until

Holder = Callable[..., httpx.Client]


def until_status(status: int, client: httpx.Client) -> None:
    """Asks until the answer is this one: what a process remembers may be some seconds old."""
    until(lambda: client.get("/v1/jobs").status_code == status)


def test_what_each_scope_allows(holder: Holder) -> None:
    reader, sender, admin = holder("reader", "read"), holder("sender", "submit"), holder("admin", "admin")
    request = {"prompt": "red heart"}

    refused = reader.post("/v1/jobs", json=request)
    assert problem(refused, 403, "forbidden")["missing_scope"] == "submit"
    assert 'error="insufficient_scope", scope="submit"' in refused.headers["www-authenticate"]
    assert reader.get("/v1/jobs").status_code == 200

    job = sender.post("/v1/jobs", json=request)
    assert job.status_code == 202
    assert "needs a key with the scope read" in problem(sender.get("/v1/jobs"), 403, "forbidden")["detail"]
    assert sender.post(f"/v1/jobs/{job.json()['id']}/cancel").json()["state"] == "canceled"

    assert admin.post("/v1/jobs", json=request).status_code == 202
    assert len(admin.get("/v1/jobs").json()["jobs"]) == 2
    for client in (reader, sender, admin):
        assert client.get("/v1/models").status_code == 200
        assert client.head("/v1/models").status_code == 200


def test_what_needs_no_key(holder: Holder, keyed_address: str) -> None:
    holder("somebody")
    for path in ("/", "/healthz", "/openapi.json", "/docs"):
        assert httpx.get(f"{keyed_address}{path}", trust_env=False).status_code == 200


def test_a_key_is_told_from_none(holder: Holder) -> None:
    client = holder("somebody")
    del client.headers["Authorization"]
    refused = client.get("/v1/jobs")
    assert "Authorization: Bearer KEY" in problem(refused, 401, "unauthorized")["detail"]
    assert refused.headers["www-authenticate"] == 'Bearer realm="underpaint"'
    for made_up in ("up_x", keys.new_key(), "é", "x" * 5000):
        refused = client.get("/v1/jobs", headers={b"Authorization": f"bearer {made_up}".encode()})
        assert "does not work" in problem(refused, 401, "unauthorized")["detail"]
        assert refused.headers["www-authenticate"] == 'Bearer realm="underpaint", error="invalid_token"'


def test_a_revoked_key_stops_to_work_and_does_not_open_the_server(holder: Holder, database: Engine) -> None:
    client = holder("only")
    assert client.get("/v1/jobs").status_code == 200
    with database.begin() as connection:
        connection.execute(keys.revoke("only"))
    until_status(401, client)
    del client.headers["Authorization"]
    problem(client.get("/v1/jobs"), 401, "unauthorized")


def test_a_replaced_key_leaves_its_jobs_to_the_new_one(holder: Holder, database: Engine) -> None:
    client = holder("ann")
    job = client.post("/v1/jobs", json={"prompt": "red heart"}).json()["id"]
    new = keys.new_key()
    with database.begin() as connection:
        connection.execute(keys.replace("ann", new))
    assert client.get(f"/v1/jobs/{job}", headers={"Authorization": f"Bearer {new}"}).status_code == 200
    until_status(401, client)


def test_a_key_expires(holder: Holder) -> None:
    client = holder("brief", expires_days=2 / 86400)
    assert client.get("/v1/jobs").status_code == 200
    until_status(401, client)


def test_its_last_use_is_noted(holder: Holder, database: Engine) -> None:
    client = holder("ann")

    def last_used() -> object:
        with database.connect() as connection:
            return connection.execute(text("select last_used_at from api_keys where name = 'ann'")).scalar_one()

    assert last_used() is None
    client.get("/v1/models")
    noted = last_used()
    assert noted is not None
    client.get("/v1/models")
    assert last_used() == noted  # once a minute is enough


@pytest.fixture
def second_process(postgres_url: str, redis_url: str, tmp_path: Path) -> Iterator[str]:
    stores = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path / "log", **stores) as address:
        yield address


def test_the_first_key_closes_an_open_server(second_process: str, database: Engine) -> None:
    with httpx.Client(base_url=second_process, trust_env=False) as client:
        # The OpenAI client always sends some key.
        assert client.get("/v1/jobs", headers={"Authorization": "Bearer unused"}).status_code == 200
        with database.begin() as connection:
            connection.execute(keys.create("ann", keys.new_key(), ["read"]))
        until_status(401, client)
