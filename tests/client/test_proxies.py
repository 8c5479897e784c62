"""Proxies that the environment names."""

import httpx
import pytest

from tests.client.proxy import Proxy
from underpaint import AsyncUnderpaint, BadProxy, Underpaint, Unreachable
from underpaint.proxies import proxy_for

SERVER = "http://pictures.example:8000"
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def of(url: str) -> str | None:
    proxy = proxy_for(httpx.URL(url))
    return proxy and str(proxy.url)


@pytest.mark.parametrize(
    ("name", "value", "proxy"),
    [
        ("http_proxy", "http://proxy.example:3128", "http://proxy.example:3128"),
        ("HTTP_PROXY", "proxy.example:3128", "http://proxy.example:3128"),
        ("ALL_PROXY", "socks5://proxy.example:1080", "socks5://proxy.example:1080"),
        ("ALL_PROXY", "socks5h://proxy.example:1080", "socks5h://proxy.example:1080"),
        ("all_proxy", "socks://proxy.example:1080", "socks5://proxy.example:1080"),
        ("https_proxy", "http://proxy.example:3128", None),
        ("http_proxy", "", None),
    ],
)
def test_the_proxy_of_the_scheme(monkeypatch: pytest.MonkeyPatch, name: str, value: str, proxy: str | None) -> None:
    monkeypatch.setenv(name, value)
    assert of(SERVER) == proxy
    with Underpaint(SERVER):
        AsyncUnderpaint(SERVER)


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_one_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "ftp://proxy.example")
    with pytest.raises(BadProxy, match=f"{name.upper()} names a proxy .* or name pictures.example in NO_PROXY"):
        Underpaint(SERVER)


@pytest.mark.parametrize(
    ("host", "exceptions", "excepted"),
    [
        ("pictures.example", "*", True),
        ("pictures.example", "pictures.example", True),
        ("pictures.example", "other.example, .example", True),
        ("pictures.example", "*.example", True),
        ("pictures.example", "PICTURES.EXAMPLE:8000", True),
        ("pictures.example", "pictures.example:80", False),
        ("pictures.example", "tures.example", False),
        ("pictures.example", "10.0.0.0/8", False),
        ("10.1.2.3", "10.0.0.0/8,fd00::/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "11.0.0.0/8", False),
        ("[fd00::7]", "10.0.0.0/8,fd00::/8", True),
        ("[fd00::7]", "[fd00::7]", True),
        ("[fd00::7]", "fd00::8", False),
        ("10.1.2.3", "10.0.0.0/99,,:", False),
    ],
)
def test_exceptions(monkeypatch: pytest.MonkeyPatch, host: str, exceptions: str, excepted: bool) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert (of(f"http://{host}:8000") is None) == excepted


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "a.localhost"])
def test_this_machine_needs_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert of(f"http://{host}:8000") is None


def test_requests_go_through_it(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Only the proxy can find this server."""
    with Proxy(address) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        with Underpaint(SERVER, patience=0) as client:
            assert client.health().status == "ok"
        monkeypatch.setenv("NO_PROXY", "pictures.example")
        with Underpaint(SERVER, patience=0) as client, pytest.raises(Unreachable):
            client.health()
