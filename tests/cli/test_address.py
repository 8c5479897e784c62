"""The address of the API is taken before anything starts, or refused with what to do."""

import os
import socket

import pytest

from cli.errors import CommandError
from cli.up import address


def test_any_free_port() -> None:
    with address.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address.url(listener) == f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port)):
            pass


def test_the_address_to_type_for_a_socket_on_every_interface() -> None:
    with address.listen("0.0.0.0", 0) as listener:
        assert address.url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.skipif(not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"), reason="there is no IPv6 here")
def test_ipv6() -> None:
    with address.listen("::1", 0) as listener:
        assert address.url(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=rf"Port {port} on 127.0.0.1 is in use .* --port {port + 1}"):
            address.listen("127.0.0.1", port)


def test_no_such_host() -> None:
    with pytest.raises(CommandError, match="There is no address 'no such host'"):
        address.listen("no such host", 8000)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(CommandError, match=r"Cannot listen on 192\.0\.2\.1, port 8000"):  # RFC 5737: never ours
        address.listen("192.0.2.1", 8000)
