"""`underpaint api`: the web server, in this process."""

import logging
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
    logging.getLogger("uvicorn.access").addFilter(_is_no_probe)
    uvicorn.Server(config).run(sockets=None if fd is None else [socket.socket(fileno=fd)])


def _is_no_probe(record: logging.LogRecord) -> bool:
    """Whether a line of the access log is worth keeping: probes come every few seconds for ever."""
    return not any(path in record.getMessage() for path in (" /healthz ", " /readyz "))
