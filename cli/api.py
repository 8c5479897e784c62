"""`underpaint api`: the web server, in this process, and the check that an open server is not exposed."""

import logging
import os
import socket

import uvicorn
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from api.connections import allow_many, limited
from cli.errors import CommandError
from store import keys, logs
from store.database import sync_engine
from store.settings import ApiSettings, LogSettings, StoreSettings

GRACE = 5  # s that a stop waits for open responses; streams to clients do not end by themselves

# Idle connections are kept for longer than clients and proxies keep theirs. Otherwise a request may be sent on a
# connection that the server is closing, and the client sees an error. Seconds.
KEEP_ALIVE = 75

# Bytes. A longer request head is refused before it is complete; the app refuses shorter ones, with a reason.
LARGEST_HEAD = 65536


def serve(host: str, port: int, fd: int | None, log_level: str | None = None) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
        host, port: the address to listen on.
        fd: a listening socket that this process has inherited; then host and port are only for display.
        log_level: instead of that of the settings.

    Raises:
        CommandError: the server has no API keys, and other machines could reach it.
    """
    os.environ["UNDERPAINT_HOST"] = host  # the app reads it, and makes the same check as the next line
    settings = ApiSettings()
    refuse_if_open(settings, StoreSettings().database_url)
    logs.configure(LogSettings(), log_level)
    connections = limited(allow_many())
    config = uvicorn.Config(
        "api.app:create_app",
        factory=True,
        # httptools, uvicorn's default, keeps a head of any size until it ends. h11 costs 0.2 ms more per request.
        http=connections,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        host=host,
        port=port,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
        server_header=False,
        access_log=settings.access_log,
        log_config=None,  # its log lines go where ours go
    )
    logging.getLogger("uvicorn.access").addFilter(_is_no_probe)
    logging.getLogger("uvicorn.access").addFilter(_without_query)
    uvicorn.Server(config).run(sockets=None if fd is None else [socket.socket(fileno=fd)])


def refuse_if_open(settings: ApiSettings, url: str) -> None:
    """Refuses to start a server that other machines can reach and that has no API keys.

    If the database does not answer, nothing is refused: the server itself serves no requests until it has found a key.

    Raises:
        CommandError: the server has no keys; says what to do.
    """
    if not settings.exposed or needs_key(url) is not False:
        return
    address = settings.published or settings.host
    raise CommandError(
        f"The server has no keys, and whoever reaches {address} could use it. Make a key with\n"
        "  underpaint keys create NAME\n"
        "or listen on 127.0.0.1, or set UNDERPAINT_ALLOW_OPEN=true if something in front of the server controls access."
    )


def needs_key(url: str) -> bool | None:
    """Whether the server requires a key; None if the database does not answer."""
    engine = sync_engine(url, pool_size=1)
    try:
        with Session(engine) as session:
            return bool(session.scalar(keys.count()))
    except DBAPIError:
        return None
    finally:
        engine.dispose()


def _is_no_probe(record: logging.LogRecord) -> bool:
    """Drops probes from the access log: they come every few seconds."""
    return not any(path in record.getMessage() for path in (" /healthz ", " /readyz ", " /metrics "))


def _without_query(record: logging.LogRecord) -> bool:
    """Removes the query from a line of the access log: a share token in it gives access to a job."""
    assert isinstance(record.args, tuple)
    client, method, path, *rest = record.args  # as uvicorn logs a response
    record.args = (client, method, str(path).partition("?")[0], *rest)
    return True
