"""How a connection is watched."""

import asyncio
import socket

import psycopg
from sqlalchemy import Engine, text

from store.database import async_engine

PID = text("select pg_backend_pid()")


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


def test_asyncio_opens_no_connections_beyond_the_pool(postgres_url: str) -> None:
    async def processes() -> tuple[int, int]:
        engine = async_engine(postgres_url, pool_size=1)

        async def other() -> int:
            async with engine.connect() as connection:
                return (await connection.execute(PID)).scalar_one()

        async with engine.connect() as connection:
            waiting = asyncio.create_task(other())
            first = (await connection.execute(PID)).scalar_one()
        second = await waiting
        await engine.dispose()
        return first, second

    first, second = asyncio.run(processes())
    assert first == second
