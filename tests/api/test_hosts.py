"""Names that a server without keys answers to."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import Request

from api.auth.hosts import check_host, check_site
from api.problems import Forbidden, Misdirected
from store.settings import ApiSettings
from tests.api.problem import problem

DISGUISED = [
    "evil.example:80@127.0.0.1",
    "evil.example@localhost",
    "127.0.0.1/@evil.example",
    "127.0.0.1?evil.example",
    "127.0.0.1#evil.example",
    "127.0.0.1\\evil.example",
]
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
    "host", ["", "pictures.example", "localhost.pictures.example", "127.0.0.1.nip.example", "[::1", *DISGUISED]
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


@pytest.mark.parametrize(
    "sent",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
)
@pytest.mark.parametrize("action", ["cancel", "accept", "refine", "share", "delete"])
def test_a_page_of_another_site_changes_nothing(client: httpx.Client, sent: dict[str, str], action: str) -> None:
    job = client.post("/v1/jobs", json={"prompt": "red heart"}).json()["id"]
    if action == "delete":
        refused = client.delete(f"/v1/jobs/{job}", headers=sent)
    else:
        refused = client.post(f"/v1/jobs/{job}/{action}", headers=sent)
    assert "another site" in problem(refused, 403, "forbidden")["detail"]
    assert client.get(f"/v1/jobs/{job}", headers=sent).json()["state"] == "queued"


@pytest.mark.parametrize(
    "sent", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "ours"}, {}]
)
def test_our_page_and_other_programs_may(client: httpx.Client, sent: dict[str, str]) -> None:
    job = client.post("/v1/jobs", json={"prompt": "red heart"}).json()["id"]
    headers = {name: str(client.base_url).rstrip("/") if value == "ours" else value for name, value in sent.items()}
    assert client.post(f"/v1/jobs/{job}/cancel", headers=headers).json()["state"] == "canceled"


def may(settings: ApiSettings, **headers: str) -> bool:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    try:
        check_site(Request({"type": "http", "headers": sent}), settings)
    except Forbidden:
        return False
    return True


def test_pages_of_other_origins_can_be_allowed() -> None:
    app = {"sec_fetch_site": "cross-site", "origin": "https://app.example"}
    assert not may(ApiSettings(), **app)
    assert may(ApiSettings(cors_origins=["https://app.example"]), **app)
    assert may(ApiSettings(cors_origins=["*"]), **app)
    assert may(ApiSettings(public_url="https://pictures.example/a"), host="inside", origin="https://pictures.example")


def test_with_a_key_it_does_not_matter(holder: Callable[..., httpx.Client]) -> None:
    sent = {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}
    assert holder("one").post("/v1/jobs", json={"prompt": "red heart"}, headers=sent).status_code == 202
