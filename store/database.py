"""Engines and sessions for PostgreSQL, blocking and asyncio, from one URL."""

import os
from typing import Any

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from store.settings import StoreSettings

# A machine that has vanished does not even refuse connections. So a connection ends when the other side acknowledges
# nothing for ten seconds. One that waits for a slow query stays while the other side's kernel answers.
KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,  # s of silence before the first probe
    "keepalives_interval": 2,  # s between probes
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # ms
}


def pooled() -> bool:
    """Whether sessions are a pooler's, which each transaction gets another one of: see ``StoreSettings``."""
    return StoreSettings().database_pooled


def _options(url: str, pool_size: int, spare: int, *, ping: bool = True) -> dict[str, Any]:
    if pooled():
        # libpq's variable becomes a parameter that poolers keep apart by client, unlike those among the options.
        os.environ["PGTZ"] = "UTC"
        session: dict[str, Any] = {"prepare_threshold": None}
    else:
        session = {"options": "-c timezone=UTC"}
    return {
        "url": make_url(url).set(drivername="postgresql+psycopg"),
        "pool_size": pool_size,
        "max_overflow": spare,
        "pool_timeout": 30,  # a burst waits for connections
        "pool_pre_ping": ping,
        "hide_parameters": True,  # an error's text is logged, and prompts are parameters
        # A database that is down must raise an error within seconds, not hang. All times are UTC.
        "connect_args": {"connect_timeout": 5, **session, **KEEPALIVE},
    }


def sync_engine(url: str, pool_size: int = 5, *, ping: bool = True) -> Engine:
    """An engine for threads, holding up to ``pool_size`` connections and as many again under load. ``ping``: test a
    connection before each use, for callers that do not retry."""
    return create_engine(**_options(url, pool_size, pool_size, ping=ping))


def async_engine(url: str, pool_size: int = 10) -> AsyncEngine:
    """An engine for asyncio with up to ``pool_size`` connections. It opens no extra ones under load: each would be
    closed after one use, and opening one takes longer than most queries."""
    return create_async_engine(**_options(url, pool_size, 0))


def sync_sessions(engine: Engine) -> sessionmaker[Session]:
    """Makes sessions whose objects stay readable after the commit."""
    return sessionmaker(engine, expire_on_commit=False)


def async_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Makes sessions whose objects stay readable after the commit."""
    return async_sessionmaker(engine, expire_on_commit=False)
