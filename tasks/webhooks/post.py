"""One attempt at a delivery."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpcore
import httpx
from celery.utils.log import get_logger

from store.targets import Targets
from tasks.webhooks.network import CheckedNetwork, Forbidden

# Only the status of a response is used. A short body is read, so that the connection can be closed in order.
RESPONSE_BYTES = 4096

log = get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The result of an attempt. ``error`` is worded for the client; None if it was delivered."""

    status: int | None
    error: str | None
    refused: bool = False
    """Whether nothing was sent, since this server does not allow the address."""

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no more deliveries."""
        return self.status == HTTPStatus.GONE


class Poster:
    """Sends requests, each over a new connection. It follows no redirects and uses no proxies."""

    def __init__(self, targets: Targets, seconds: float, connections: int, tls: ssl.SSLContext | None = None) -> None:
        self._targets = targets
        self._seconds = seconds
        # A connection that is kept alive would bypass the check of the name's current addresses.
        self._pool = httpcore.AsyncConnectionPool(
            # The authorities of certifi; SSL_CERT_FILE and SSL_CERT_DIR name others.
            ssl_context=tls or httpx.create_ssl_context(),
            max_connections=connections,
            max_keepalive_connections=0,
            network_backend=CheckedNetwork(targets),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """POST once. Never raises: errors are in the outcome."""
        if fault := self._targets.fault(url):  # the settings may have changed since the job was submitted
            return Outcome(None, f"the URL {fault}", refused=True)
        try:
            async with asyncio.timeout(self._seconds):
                return _outcome(await self._status(httpx.URL(url), headers, body))
        except Forbidden as error:
            # The client must not learn what the name resolves to: it may be inside our network.
            log.warning("a webhook was not sent: %s", error)
            error_text = "the name leads to a private or special address, which this server does not allow"
            return Outcome(None, error_text, refused=True)
        except (TimeoutError, httpcore.TimeoutException):
            return Outcome(None, f"there was no answer within {self._seconds:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            return Outcome(None, f"it could not be sent: {error or type(error).__name__}")

    async def _status(self, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> int:
        sent = {
            "Host": url.netloc.decode(),
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            "User-Agent": "underpaint",
            "Connection": "close",
            **headers,
        }
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        limit = {"connect": self._seconds / 3, "read": self._seconds, "write": self._seconds, "pool": self._seconds}
        async with self._pool.stream(
            "POST", target, headers=list(sent.items()), content=body, extensions={"timeout": limit}
        ) as response:
            read = 0
            async for part in response.aiter_stream():
                read += len(part)
                if read >= RESPONSE_BYTES:
                    break
            return response.status


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome(status, None)
    if 300 <= status < 400:
        return Outcome(status, f"the answer was {status}: redirects are not followed, so name the last address")
    if status == HTTPStatus.GONE:
        return Outcome(status, "the answer was 410: the receiver wants no more, and is sent no more of this job")
    return Outcome(status, f"the answer was {status}, not 2xx")
