"""A TCP proxy between client and server that injects network faults."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Self


def html_error(status: str) -> bytes:
    """An error response with an HTML body, as a reverse proxy sends it."""
    head = f"HTTP/1.1 {status}\r\nRetry-After: 0\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 7"
    return f"{head}\r\n\r\n<p>Hey!".encode()


class Proxy:
    """A proxy for ``server``, a ``http://HOST:PORT``. Each fault that a test sets happens once.

    Attributes:
        address: the URL for clients.
        cut_after: close the connection after a response with these bytes was forwarded.
        drop_response_to: forward the next request that begins with these bytes, then close the connection without a
            response.
        dropped: the number of responses that were dropped.
        replacement: a pair (prefix, response). The next request that begins with the prefix is not forwarded, and gets
            this response.
    """

    def __init__(self, server: str) -> None:
        host, _, port = server.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "http://{}:{}".format(*self._listener.getsockname())
        self.cut_after = self.drop_response_to = b""
        self.replacement: tuple[bytes, bytes] | None = None
        self.dropped = 0

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        _close(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                _Connection(self, client, socket.create_connection(self._server))


class _Connection:
    """One connection."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._dropping = False
        for direction in (self._forward_requests, self._forward_responses):
            Thread(target=self._run, args=[direction], daemon=True).start()

    def _run(self, direction: Callable[[], None]) -> None:
        with suppress(OSError):
            direction()
        _close(self._client)
        _close(self._server)

    def _forward_requests(self) -> None:
        while data := self._client.recv(65536):
            if self._proxy.replacement and data.startswith(self._proxy.replacement[0]):
                response, self._proxy.replacement = self._proxy.replacement[1], None
                self._client.sendall(response)
                return
            if self._proxy.drop_response_to and data.startswith(self._proxy.drop_response_to):
                self._proxy.drop_response_to, self._dropping = b"", True
            self._server.sendall(data)

    def _forward_responses(self) -> None:
        while data := self._server.recv(65536):
            if self._dropping:
                self._proxy.dropped += 1
                return
            self._client.sendall(data)
            if self._proxy.cut_after and self._proxy.cut_after in data:
                self._proxy.cut_after = b""
                return


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
