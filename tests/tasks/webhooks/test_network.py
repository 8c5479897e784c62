"""How the names of webhooks are resolved."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.targets import Targets
from tasks.webhooks.post import Outcome, Poster
from tests.until import PATIENCE

Resolve = Callable[..., list[Any]]


def post(monkeypatch: pytest.MonkeyPatch, resolve: Resolve, port: int = 1) -> Outcome:
    """The outcome of a POST to a name that the system resolves like this."""
    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def run() -> Outcome:
        targets = Targets.read("127.0.0.0/8", http=True)
        async with Poster(targets, 5, 1) as poster:
            return await poster.post(f"http://hook.example:{port}/", {}, b"{}")

    return asyncio.run(run())


def addresses(*found: str) -> Resolve:
    return lambda host, port, *_, **__: [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port))) for address in found
    ]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_does_not_resolve_is_named_as_the_reason(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        raise error

    assert post(monkeypatch, resolve) == Outcome(None, "it could not be sent: the name cannot be resolved")


def test_the_next_address_is_tried_if_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.3", 0)) as there, ThreadPoolExecutor(1) as pool:
        there.settimeout(PATIENCE)

        def respond() -> None:
            with there.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        responding = pool.submit(respond)
        answers = addresses("127.0.0.2", "127.0.0.2", "127.0.0.3")
        assert post(monkeypatch, answers, there.getsockname()[1]) == Outcome(204, None)
        responding.result()


def test_all_addresses_must_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert post(monkeypatch, addresses("127.0.0.2", "10.0.0.1")).refused
