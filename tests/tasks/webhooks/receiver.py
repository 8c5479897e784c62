"""A receiver of webhooks: a real HTTP server that records the requests."""

import ssl
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import trustme

from tests.until import PATIENCE, until


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Responds with one of ``answers`` after the other (a status with headers), and then always with the last one."""

    def __init__(self, host: str, certificate: trustme.LeafCert | None) -> None:
        self.received: list[Received] = []
        self.answers: list[tuple[int, dict[str, str]]] = [(204, {})]
        self.proceed = Event()
        """No request gets a response until this is set."""
        self.proceed.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(Received(self.path, dict(self.headers.items()), body))
                answers = receiver.answers
                status, headers = answers.pop(0) if len(answers) > 1 else answers[0]
                receiver.proceed.wait(PATIENCE)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that leaves, or that trusts no certificate, is what some tests are about

        self._server = Server((host, 0), Handler)
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(tls)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self.url = f"http{'s' if certificate else ''}://{host}:{self.port}/hook"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def wait(self, number: int) -> list[Received]:
        """Wait for so many requests. Returns all that were received."""
        until(lambda: len(self.received) >= number)
        return self.received

    def close(self) -> None:
        self.proceed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
