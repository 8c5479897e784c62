"""Where webhooks may go: by URL, and by address."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis.strategies import ip_addresses

from store.targets import Targets, is_public, literal

PUBLIC = Targets()
LOCAL = Targets.read("127.0.0.0/8, receiver  ::1", http=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook?token=a",
        "https://example.org:8443",
        "https://EXAMPLE.org./",
        "https://93.184.216.34/hook",
        "https://[2606:4700::1111]/hook",
        "https://b\u00fccher.example/h",
        "https://under_score.example/",
    ],
)
def test_these_are_taken(url: str) -> None:
    assert PUBLIC.fault(url) is None


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.1", "0x7f.1", "127.0.0.1.", "0", "localhost"),
        *("a.localhost", "10.0.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "198.18.0.1", "[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[ff02::1]"),
        *("[::ffff:127.0.0.1]", "[::ffff:a00:1]", "[64:ff9b::a00:1]", "[64:ff9b:1::1]", "[2002:a00:1::]"),
        *("[2001::1]", "[2001:db8::1]", "[::127.0.0.1]"),
    ],
)
def test_private_addresses_are_refused_in_every_form(host: str) -> None:
    assert "public address" in (PUBLIC.fault(f"https://{host}/hook") or "")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/", "no plain http"),
        ("ftp://example.org/", "begins with https"),
        ("example.org", "begins with https"),
        ("https://user@example.org/", "credentials"),
        ("https://user:word@example.org/", "credentials"),
        ("https://example.org\\@127.0.0.1/", "credentials"),
        ("https://example.org/#part", "fragment"),
        ("https://example.org/#", "fragment"),
        ("https:///hook", "host"),
        ("https://example.org:0/", "host"),
        ("https://example.org:66666/", "port"),
        ("https://exa mple.org/", "must"),
        ("https://%31%32%37.0.0.1/", "must"),
        ("https://\uff11\uff12\uff17.0.0.1/", "must"),
        ("https://0177.0.0.1/", "must"),
        ("https://10.0.0.300/", "must"),
        ("https://[::1/", "must"),
        ("https://exam\nple.org/", "must"),
    ],
)
def test_these_are_refused(url: str, message: str) -> None:
    assert message in (PUBLIC.fault(url) or "")


def test_what_the_settings_allow() -> None:
    assert LOCAL.fault("http://127.0.0.1:9000/") is None
    assert LOCAL.fault("http://[::1]:9000/") is None
    assert LOCAL.fault("https://[::ffff:127.0.0.1]/") is None
    assert LOCAL.fault("http://receiver/") is None
    assert "public" in (LOCAL.fault("http://10.0.0.1/") or "")
    inside = [ipaddress.ip_address("10.0.0.1")]
    assert LOCAL.allow("Receiver.", inside)
    assert not LOCAL.allow("other", inside)
    assert not LOCAL.allow("other", [ipaddress.ip_address("93.184.216.34"), *inside])  # whichever is connected to


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "https://a", "10.0.0.300", "-", "a/b"])
def test_a_list_that_cannot_be_read(wrong: str) -> None:
    with pytest.raises(ValueError, match="neither a name"):
        Targets.read(wrong, http=False)


@given(ip_addresses())
def test_nothing_is_public_that_python_calls_otherwise(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not any((address.is_multicast, address.is_reserved, address.is_link_local, address.is_unspecified))


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "1.2", "8.8.8.8", "::1"])
def test_literals_are_what_the_system_makes_of_them(host: str) -> None:
    assert str(literal(host)) == socket.getaddrinfo(host, 1, flags=socket.AI_NUMERICHOST)[0][4][0]
