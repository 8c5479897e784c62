"""A wire between client and server that a test can cut: TCP, forwarded as it is but for what the test asks for."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Self


def page(status: str) -> bytes:
    """A whole answer with a page for people, as proxies and other servers give it."""
    head = f"HTTP/1.1 {status}\r\nRetry-After: 0\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 7"
    return f"{head}\r\n\r\n<p>Hey!".encode()


class Wire:
    """Leads to ``server``, a ``http://HOST:PORT``. What a test asks for happens at the next occasion, once.

    Attributes:
        address: where clients connect to.
        lost: answers that were lost.
        cut_after: when these bytes have gone to the client, its connection is cut.
        lose: what the server answers to a request that begins with this is lost, with the connection.
        instead: a request that begins with the first of these gets the second as its answer, and not the server's.
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
        _end(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                _Line(self, client, socket.create_connection(self._server))


class _Line:
    """One connection."""

    def __init__(self, wire: Wire, client: socket.socket, server: socket.socket) -> None:
        self._wire, self._client, self._server = wire, client, server
        self._losing = False
        for way in (self._up, self._down):
            Thread(target=self._run, args=[way], daemon=True).start()

    def _run(self, way: Callable[[], None]) -> None:
        with suppress(OSError):
            way()
        _end(self._client)
        _end(self._server)

    def _up(self) -> None:
        while data := self._client.recv(65536):
            if self._wire.instead and data.startswith(self._wire.instead[0]):
                answer, self._wire.instead = self._wire.instead[1], None
                self._client.sendall(answer)
                return
            if self._wire.lose and data.startswith(self._wire.lose):
                self._wire.lose, self._losing = b"", True
            self._server.sendall(data)

    def _down(self) -> None:
        while data := self._server.recv(65536):
            if self._losing:
                self._wire.lost += 1
                return
            self._client.sendall(data)
            if self._wire.cut_after and self._wire.cut_after in data:
                self._wire.cut_after = b""
                return


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
