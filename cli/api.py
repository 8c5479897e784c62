"""`underpaint api`: the web server, in this process."""

import logging
import os
import resource
import socket
from contextlib import suppress

import uvicorn

from cli.exposure import refuse_if_open
from store import logs
from store.settings import ApiSettings, LogSettings, StoreSettings

# Streams to clients never end by themselves, so a stop must not wait for them for long. Seconds.
GRACE = 5

# Idle connections are kept for longer than clients and proxies keep theirs, so that none is closed just as a request is
# sent on it, which the client could only take for an error. Seconds.
KEEP_ALIVE = 75

# Bytes of a request's head that are kept before it is refused unread. What is smaller the app refuses, and says why.
LARGEST_HEAD = 65536

# Each client that waits is an open file, of which many systems allow a process 1,024 unless it asks for more.
OPEN_FILES = 65536


def serve(host: str, port: int, fd: int | None, log_level: str | None = None) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
        host, port: where to listen.
        fd: a listening socket that this process has inherited; then host and port are only names.
        log_level: instead of that of the settings.

    Raises:
        Explained: the server has no keys, and others could reach it.
    """
    os.environ["UNDERPAINT_HOST"] = host  # what the app reads, which sees to the same as the next line
    refuse_if_open(ApiSettings(), StoreSettings().database_url)
    logs.configure(LogSettings(), log_level)
    _allow_many_clients()
    config = uvicorn.Config(
        "api.app:create_app",
        factory=True,
        # httptools, which uvicorn prefers, keeps a head of any size until it ends. h11 costs 0.2 ms more a request.
        http="h11",
        h11_max_incomplete_event_size=LARGEST_HEAD,
        host=host,
        port=port,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
        server_header=False,
        log_config=None,  # its lines go where ours go
    )
    logging.getLogger("uvicorn.access").addFilter(_is_no_probe)
    logging.getLogger("uvicorn.access").addFilter(_without_query)
    uvicorn.Server(config).run(sockets=None if fd is None else [socket.socket(fileno=fd)])


def _allow_many_clients() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_no_probe(record: logging.LogRecord) -> bool:
    """Whether a line of the access log is worth keeping: probes come every few seconds for ever."""
    return not any(path in record.getMessage() for path in (" /healthz ", " /readyz ", " /metrics "))


def _without_query(record: logging.LogRecord) -> bool:
    """Cuts the query off a line of the access log: a ``share`` in it would open a job to whoever reads the log."""
    assert isinstance(record.args, tuple)
    client, method, path, *rest = record.args  # as uvicorn logs an answer
    record.args = (client, method, str(path).partition("?")[0], *rest)
    return True
