"""How a connection is watched."""

import socket

import psycopg
from sqlalchemy import Engine


def test_a_server_that_vanished_is_noticed(engine: Engine) -> None:
    """The kernel probes an idle connection, and gives up one whose data nobody acknowledges."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        settings = driver.info.get_parameters()
        assert {name: settings.get(name) for name in ("keepalives_idle", "tcp_user_timeout")} == {
            "keepalives_idle": "5",
            "tcp_user_timeout": "10000",
        }
        with socket.socket(fileno=socket.dup(driver.fileno())) as watched:
            if watched.family != socket.AF_UNIX:
                assert watched.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
