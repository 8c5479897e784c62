"""`underpaint api`: the web server, in this process."""

import socket

import uvicorn

# Streams to clients never end by themselves, so a stop must not wait for them for long. Seconds.
GRACE = 5


def serve(host: str, port: int, fd: int | None) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
        host, port: where to listen.
        fd: a listening socket that this process has inherited; then host and port are only names.
    """
    config = uvicorn.Config(
        "api.app:create_app", factory=True, host=host, port=port, timeout_graceful_shutdown=GRACE, server_header=False
    )
    uvicorn.Server(config).run(sockets=None if fd is None else [socket.socket(fileno=fd)])
