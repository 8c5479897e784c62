"""Names that a server without keys answers to."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import Request

from api.auth.hosts import check_host
from api.problems import Misdirected
from store.settings import ApiSettings
from tests.api.problem import problem

OTHER = {"Host": "pictures.example:8000"}


def answers_to(named: str, **settings: Any) -> bool:
    try:
        check_host(Request({"type": "http", "headers": [(b"host", named.encode())]}), ApiSettings(**settings))
    except Misdirected:
        return False
    return True


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.9"])
def test_localhost_and_addresses_are_known(host: str) -> None:
    assert answers_to(host)


@pytest.mark.parametrize(
    "host", ["", "pictures.example", "localhost.pictures.example", "127.0.0.1.nip.example", "[::1"]
)
def test_other_names_are_not(host: str) -> None:
    assert not answers_to(host)


def test_names_can_be_made_known() -> None:
    assert answers_to("api:8000", hosts=["api", "other"])
    assert answers_to("pictures.example", public_url="https://Pictures.example/here")
    assert answers_to("studio", host="studio")
    assert answers_to("pictures.example", hosts=["*"])
    assert answers_to("pictures.example", allow_open=True)  # something in front of it sees to it


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/models", "/metrics"])
def test_a_name_that_is_led_here_reads_nothing(client: httpx.Client, path: str) -> None:
    refused = problem(client.get(path, headers=OTHER), 421, "misdirected")
    assert "UNDERPAINT_HOSTS" in refused["detail"]
    assert client.get(path).status_code == 200
    assert client.get("/healthz", headers=OTHER).status_code == 200


def test_a_server_with_keys_answers_to_any_name(holder: Callable[..., httpx.Client]) -> None:
    assert holder("one").get("/v1/jobs", headers=OTHER).status_code == 200
