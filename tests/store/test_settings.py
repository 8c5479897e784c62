"""Settings come from the environment, and those that do not fit together are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from store.settings import (
    SHIPPED_CATALOG,
    ApiSettings,
    CatalogSettings,
    JobSettings,
    LogSettings,
    MetricsSettings,
    StoreSettings,
    WorkerSettings,
)


def test_environment_overrides_and_empty_means_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UNDERPAINT_DATABASE_URL", "postgresql://elsewhere/db")
    monkeypatch.setenv("UNDERPAINT_REDIS_URL", "")
    monkeypatch.setenv("UNDERPAINT_WIDTH", "4")
    monkeypatch.setenv("UNDERPAINT_PORT", "0")
    assert StoreSettings().database_url == "postgresql://elsewhere/db"
    assert StoreSettings().redis_url == "redis://localhost:6379/0"
    assert WorkerSettings().width == 4
    assert ApiSettings().port == 0
    assert CatalogSettings().catalog == SHIPPED_CATALOG
    assert SHIPPED_CATALOG.is_file()


@pytest.mark.parametrize(("heartbeat", "fits"), [("7.4", True), ("7.5", False), ("0", False)])
def test_heartbeat_fits_the_lease(monkeypatch: pytest.MonkeyPatch, heartbeat: str, fits: bool):
    monkeypatch.setenv("UNDERPAINT_HEARTBEAT_SECONDS", heartbeat)
    if fits:
        assert JobSettings().heartbeat_seconds == 7.4
    else:
        with pytest.raises(ValidationError):
            JobSettings()


@pytest.mark.parametrize(
    ("settings", "exposed"),
    [
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
        ({"host": "LocalHost"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "192.0.2.1"}, True),
        ({"host": "example.org"}, True),
        ({"host": "0.0.0.0", "allow_open": True}, False),
        ({"host": "0.0.0.0", "published": "127.0.0.1:8000"}, False),
        ({"host": "0.0.0.0", "published": "[::1]:8000"}, False),
        ({"host": "0.0.0.0", "published": "8000"}, True),
        ({"host": "127.0.0.1", "published": "192.0.2.1:8000"}, True),
    ],
)
def test_a_server_that_other_machines_can_reach_is_exposed(settings: dict[str, Any], exposed: bool):
    assert ApiSettings(**settings).exposed == exposed


def test_every_setting_is_described():
    kinds = (StoreSettings, JobSettings, CatalogSettings, ApiSettings, WorkerSettings, LogSettings, MetricsSettings)
    for settings in kinds:
        assert all(field.description for field in settings.model_fields.values())


def test_passwords_are_not_printed():
    settings = StoreSettings(database_url="postgresql://me:secret@host/db", redis_url="redis://:secret@host/0")
    assert "secret" not in repr(settings)
