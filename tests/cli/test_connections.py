"""Clients that connect and send nothing, or half a request, do not silence the API that the command runs."""

import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
from sqlalchemy import Engine

from tests.cli.running import environment
from tests.pictures_in import picture
from tests.until import until

FILES = 256
START = "import cli.main, api.connections as c; c.HEAD = c.Part('head', *{0}); c.BODY = c.Part('body', *{0}); "

Address = tuple[str, int]


@pytest.fixture
def settings(postgres_url: str, redis_url: str, database: Engine) -> dict[str, str]:
    return {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}


@contextmanager
def api(
    settings: dict[str, str], limits: tuple[float, ...] = (600, 500), files: tuple[int, int] = (FILES, FILES)
) -> Iterator[Address]:
    """The API with these limits of open files (soft and hard), and for a head or a body: see `Part`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, address = listener.fileno(), listener.getsockname()
        start = START.format(limits) + f"cli.main.app(['api', '--port', '{address[1]}', '--fd', '{fd}'])"
        process = subprocess.Popen(
            [sys.executable, "-c", start],
            env=environment(**settings),
            pass_fds=[fd],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, files),
        )
        try:
            until(lambda: healthy(address))
            yield address
        finally:
            process.terminate()
            process.wait()


def get(address: Address, path: str) -> httpx.Response:
    return httpx.get("http://{}:{}{}".format(*address, path), trust_env=False, timeout=None)


def healthy(address: Address) -> bool:
    with suppress(httpx.TransportError):
        return get(address, "/healthz").is_success
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"],
    ids=["nothing", "half a head", "half a body"],
)
def test_many_that_send_too_little(settings: dict[str, str], sent: bytes) -> None:
    with api(settings) as address, ExitStack() as opened:
        first, *_ = [opened.enter_context(open_and_send(address, sent)) for _ in range(2 * FILES)]
        assert get(address, "/v1/models").status_code == 200
        assert get(address, "/healthz").status_code == 200
        with suppress(ConnectionError):
            assert first.recv(1) == b""  # the one that waited longest was closed


def test_many_that_are_idle_after_a_request(settings: dict[str, str]) -> None:
    with api(settings) as address, ExitStack() as opened:
        for _ in range(2 * FILES):
            idle = opened.enter_context(open_and_send(address, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
            assert idle.recv(9999).startswith(b"HTTP/1.1 200")
        assert get(address, "/v1/models").status_code == 200


def test_many_that_the_server_works_for(settings: dict[str, str]) -> None:
    with api(settings) as address, ExitStack() as opened:
        job = httpx.post(
            "http://{}:{}/v1/jobs".format(*address), json={"prompt": "x"}, trust_env=False, timeout=None
        ).json()["id"]
        stream = f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        kept = []
        while True:
            kept.append(opened.enter_context(open_and_send(address, stream)))
            if not (answer := kept[-1].recv(12)).endswith(b"200"):
                break
        assert answer == b"HTTP/1.1 503"
        refused = get(address, "/v1/models")
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:underpaint:problem:busy"
        assert refused.headers["Retry-After"] == "5"
        assert get(address, "/healthz").status_code == 200
        assert get(address, "/readyz").json()["checks"]["database"]["ok"]
        for stream in kept[:10]:
            stream.close()
        until(lambda: get(address, "/v1/models").status_code == 200)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET /healthz HTTP/1.1\r\n", b"HTTP/1.1 408"),
        (b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 408"),
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_one_that_takes_too_long(settings: dict[str, str], sent: bytes, answer: bytes) -> None:
    with api(settings, limits=(0.2, 500)) as address, open_and_send(address, sent) as connection:
        received = b""
        while more := connection.recv(9999):  # until the server closes it
            received += more
        assert answer in received
        assert (b"took too long" in received) == bool(answer)
        assert healthy(address)


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("limits", [(0.2, 500), (0.2, 1e-9, 0.5)], ids=["by the rate", "by the whole time"])
def test_uploads_that_are_sent_slowly(settings: dict[str, str], kind: str, limits: tuple[float, ...]) -> None:
    """They end with the documented error, and keep nobody from sending a picture meanwhile."""
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 9999\r\n\r\n"
    with api(settings, limits) as address, ExitStack() as opened:
        slow = [opened.enter_context(open_and_send(address, head.encode() + b"--x\r\n")) for _ in range(10)]
        sent = httpx.post("http://{}:{}/v1/uploads".format(*address), content=picture(), trust_env=False, timeout=None)
        assert sent.status_code == 201
        for connection in slow:
            received = b""
            while more := connection.recv(9999):
                received += more
            assert received.startswith(b"HTTP/1.1 408")
            assert b"urn:underpaint:problem:too-slow" in received


def test_a_second_request_that_takes_too_long(settings: dict[str, str]) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with api(settings, limits=(0.2, 500)) as address, open_and_send(address, whole) as connection:
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(9999)
        connection.sendall(whole[:9])
        assert connection.recv(9999).startswith(b"HTTP/1.1 408")


def test_the_limit_is_raised_as_far_as_the_system_allows(settings: dict[str, str]) -> None:
    with api(settings, files=(FILES, 4 * FILES)) as address, ExitStack() as opened:
        first, *_ = [opened.enter_context(open_and_send(address, b"")) for _ in range(2 * FILES)]
        first.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert first.recv(12) == b"HTTP/1.1 200"


def open_and_send(address: Address, sent: bytes) -> socket.socket:
    connection = socket.create_connection(address, timeout=None)
    with suppress(ConnectionError):
        connection.sendall(sent)
    return connection
