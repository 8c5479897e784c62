"""The limit on the head of a request, in the server that the command runs."""

import socket
import subprocess

from sqlalchemy import Engine

from tests.cli.running import COMMAND, environment


def test_a_head_without_end_is_not_kept(postgres_url: str, redis_url: str, database: Engine) -> None:
    stores = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, address = listener.fileno(), listener.getsockname()
        command = [*COMMAND, "api", "--port", str(address[1]), "--fd", str(fd)]
        with (
            subprocess.Popen(command, env=environment(**stores), pass_fds=[fd]) as process,
            socket.create_connection(address, timeout=None) as connection,
        ):
            try:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 70_000)
                assert connection.recv(100).startswith(b"HTTP/1.1 400")
            finally:
                process.terminate()
