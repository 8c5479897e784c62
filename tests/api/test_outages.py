"""The broker or the database is gone: promises are kept, and the client gets the right error."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from api import errors
from api.encoding.marking import Marking
from api.live.subscriptions import Subscriptions
from api.live.tail import follow
from api.metrics.process import Metrics
from api.services import open_services
from api.surfaces import SURFACES
from store.catalog import Catalog
from store.database import async_engine, async_sessions
from store.pictures import PicturesUnavailable
from store.redis_clients import async_redis
from store.settings import ApiSettings, MarkSettings, StoreSettings
from store.tables import Job
from store.targets import Targets
from tests.api.problem import problem
from tests.api.serving import serving
from tests.api.sse import parse
from tests.store.folder_pictures import FolderPictures

NOWHERE = "127.0.0.1:1"  # nothing listens there


@pytest.fixture(scope="module")
def without_broker(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": f"redis://{NOWHERE}/0"}
    with serving(tmp_path_factory.mktemp("api") / "log", **settings) as address:
        yield address


@pytest.fixture(scope="module")
def without_database(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = {"UNDERPAINT_DATABASE_URL": f"postgresql://u:p@{NOWHERE}/u", "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path_factory.mktemp("api") / "log", **settings) as address:
        yield address


def test_a_job_is_accepted_without_the_broker(without_broker: str, database: Engine) -> None:
    with httpx.Client(base_url=without_broker, trust_env=False, timeout=20) as client:
        response = client.post("/v1/jobs", json={"prompt": "red heart"})
        assert response.status_code == 202
        job = response.json()["id"]
        assert client.get(f"/v1/jobs/{job}").json()["state"] == "queued"
        with Session(database) as session:
            assert session.scalars(select(Job).where(Job.id == UUID(job))).one().sent_at is None
        # Nothing else needs it either.
        problem(client.get(f"/v1/jobs/{job}/images/0/iterates/latest"), 404, "no-such-picture")
        assert client.post(f"/v1/jobs/{job}/cancel").json()["state"] == "canceled"
        assert client.delete(f"/v1/jobs/{job}").status_code == 204


def test_not_ready_without_the_broker(without_broker: str) -> None:
    body = problem(httpx.get(f"{without_broker}/readyz", trust_env=False), 503, "not-ready")
    assert {name: check["ok"] for name, check in body["checks"].items()} == {
        "database": True,
        "broker": False,
        "workers": False,
        "pictures": True,
        "beat": False,
    }


def test_a_full_disk_is_named(postgres_url: str, redis_url: str, database: Engine, tmp_path: Path) -> None:
    refuse = """
        create function full_disk() returns trigger language plpgsql as
        $$ begin raise exception 'no space left on device' using errcode = 'disk_full'; end $$;
        create trigger full_disk before insert on jobs for each row execute function full_disk()
    """
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path / "log", **settings) as address, httpx.Client(base_url=address, trust_env=False) as client:
        with database.begin() as connection:
            connection.execute(text(refuse))
        try:
            body = problem(client.post("/v1/jobs", json={"prompt": "red heart"}, timeout=None), 503, "database-gone")
        finally:
            with database.begin() as connection:
                connection.execute(text("drop function full_disk cascade"))
        assert "disk is full" in body["detail"]
        readiness = problem(client.get("/readyz", timeout=None), 503, "not-ready")
        assert "disk of the database was full" in readiness["checks"]["database"]["detail"]
        assert client.get("/healthz", timeout=None).status_code == 200


def test_a_broker_that_hangs_does_not_hold_a_submission(postgres_url: str, database: Engine, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts connections and sends nothing
        url = "redis://{}:{}/0".format(*mute.getsockname())
        with (
            serving(tmp_path / "log", UNDERPAINT_DATABASE_URL=postgres_url, UNDERPAINT_REDIS_URL=url) as address,
            httpx.Client(base_url=address, trust_env=False, timeout=20) as client,
        ):
            for _ in range(2):
                assert client.post("/v1/jobs", json={"prompt": "red heart"}).status_code == 202


def test_without_a_database_every_response_names_the_outage(without_database: str) -> None:
    with httpx.Client(base_url=without_database, trust_env=False, timeout=20) as client:
        job = "/v1/jobs/8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e"
        for response in (
            client.post("/v1/jobs", json={"prompt": "red heart"}),
            client.get("/v1/jobs"),
            client.get(job),
            client.get(f"{job}/images/0/iterates/latest"),
            client.post(f"{job}/cancel"),
            client.delete(job),
        ):
            body = problem(response, 503, "database-gone")
            assert response.headers["retry-after"] == "5"
            assert "127.0.0.1" not in body["detail"]
        # What needs no database goes on.
        assert client.get("/healthz").status_code == 200
        # Whether a key is needed, only the database knows.
        problem(client.get("/v1/models"), 503, "database-gone")
        problem(client.post("/v1/jobs", json={"prompt": ""}), 503, "database-gone")
        checks = problem(client.get("/readyz"), 503, "not-ready")["checks"]
        assert checks["database"]["ok"] is False
        assert checks["broker"]["ok"] is True


def test_an_event_source_comes_back_after_an_outage(without_database: str) -> None:
    """It would not after an error."""
    job = f"{without_database}/v1/jobs/8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e/events"
    problem(httpx.get(job, trust_env=False, timeout=20), 503, "database-gone")
    response = httpx.get(job, headers={"Accept": "text/event-stream"}, trust_env=False, timeout=20)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert (response.text, list(parse(response.text.splitlines()))) == ("retry: 2000\n\n", [])


def test_a_stream_outlasts_an_outage_of_the_database(redis_url: str) -> None:
    async def first() -> object:
        sessions = async_sessions(async_engine(f"postgresql://u:p@{NOWHERE}/u"))
        async with async_redis(redis_url) as client:
            events = follow(Subscriptions(client, sessions, sessions, sessions), uuid4())
            return await anext(events)

    assert asyncio.run(first()) is None


def test_pictures_that_are_away_are_no_outage_of_the_database() -> None:
    app = FastAPI()
    errors.register(app, SURFACES)

    @app.get("/v1/picture")
    async def picture() -> None:
        raise PicturesUnavailable("no route to the bucket")

    async def get(**headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/v1/picture", headers=headers)

    response = asyncio.run(get())
    assert "database" not in problem(response, 503, "pictures-gone")["title"]
    assert response.headers["Retry-After"] == "5"
    assert asyncio.run(get(Accept="text/event-stream")).text == "retry: 2000\n\n"


def test_the_services_close_the_store_of_pictures(
    postgres_url: str, redis_url: str, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = FolderPictures(tmp_path, postgres_url)
    monkeypatch.setattr("api.services.open_pictures", lambda: pictures)
    store = StoreSettings(database_url=postgres_url, redis_url=redis_url)

    async def run() -> None:
        async with open_services(
            store, ApiSettings(), catalog, Targets(), Metrics(), Marking(MarkSettings())
        ) as services:
            assert services.pictures is pictures
            pictures.sweep()
            assert pictures.connected

    asyncio.run(run())
    assert not pictures.connected


def test_connections_that_were_cut_are_replaced(client: httpx.Client, database: Engine) -> None:
    assert client.get("/v1/jobs").status_code == 200
    with database.connect() as connection:
        connection.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = :d"
            ),
            {"d": "underpaint"},
        )
    assert client.get("/v1/jobs").status_code == 200


def test_not_ready_before_the_migrations(client: httpx.Client, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("alter table jobs rename column crashes to falls"))
    try:
        checks = problem(client.get("/readyz"), 503, "not-ready")["checks"]
        assert "underpaint migrate" in checks["database"]["detail"]
    finally:
        with database.begin() as connection:
            connection.execute(text("alter table jobs rename column falls to crashes"))
