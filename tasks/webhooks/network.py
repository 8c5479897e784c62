"""Connections that only reach the addresses that webhooks may reach."""

from collections.abc import Iterable
from ipaddress import ip_address
from socket import SOCK_STREAM
from typing import Any

import anyio
import httpcore

from store.targets import Address, Targets, literal

# How many addresses of a name are tried.
TRIED = 4


class Forbidden(Exception):
    """The host resolves to an address that webhooks may not reach."""


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a host once, checks its addresses, and connects to one of them instead of the name: a second resolution
    could return another address (DNS rebinding). TLS still verifies the name.
    """

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._network: httpcore.AsyncNetworkBackend = httpcore.AnyIOBackend()  # pyright: ignore[reportAttributeAccessIssue]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the signature is httpcore's)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to ``host``.

        Raises:
            Forbidden: one of its addresses is not allowed.
            httpcore.ConnectError, httpcore.ConnectTimeout: it cannot be reached.
        """
        addresses = await _resolve(host, port)
        if not self._targets.allow(host, addresses):
            raise Forbidden(f"{host} is at {', '.join(map(str, addresses))}")
        failed: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses[:TRIED]:
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed


async def _resolve(host: str, port: int) -> list[Address]:
    if found := literal(host):
        return [found]
    try:
        answers = await anyio.getaddrinfo(host, port, type=SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("the name cannot be resolved") from error
    return list(dict.fromkeys(ip_address(answer[4][0]) for answer in answers))
