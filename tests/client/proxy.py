"""A TCP proxy between client and server, with which a test can break connections."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Self


def page(status: str) -> bytes:
    """A response with an HTML page, as other servers and proxies send it."""
    head = f"HTTP/1.1 {status}\r\nRetry-After: 0\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 7"
    return f"{head}\r\n\r\n<p>Hey!".encode()


class Proxy:
    """A proxy for ``server``, a ``http://HOST:PORT``. Each fault that a test sets happens once.

    Attributes:
        address: the URL for clients.
        lost: the number of responses that were lost.
        cut_after: when these bytes have been sent to the client, its connection is cut.
        lose: the response to a request that begins with these bytes is lost, with the connection.
        instead: a request that begins with the first of these gets the second as its response.
    """

    def __init__(self, server: str) -> None:
        host, _, port = server.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "http://{}:{}".format(*self._listener.getsockname())
        self.cut_after = self.lose = b""
        self.instead: tuple[bytes, bytes] | None = None
        self.lost = 0

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
        self._losing = False
        for way in (self._up, self._down):
            Thread(target=self._run, args=[way], daemon=True).start()

    def _run(self, way: Callable[[], None]) -> None:
        with suppress(OSError):
            way()
        _close(self._client)
        _close(self._server)

    def _up(self) -> None:
        while data := self._client.recv(65536):
            if self._proxy.instead and data.startswith(self._proxy.instead[0]):
                response, self._proxy.instead = self._proxy.instead[1], None
                self._client.sendall(response)
                return
            if self._proxy.lose and data.startswith(self._proxy.lose):
                self._proxy.lose, self._losing = b"", True
            self._server.sendall(data)

    def _down(self) -> None:
        while data := self._server.recv(65536):
            if self._losing:
                self._proxy.lost += 1
                return
            self._client.sendall(data)
            if self._proxy.cut_after and self._proxy.cut_after in data:
                self._proxy.cut_after = b""
                return


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
