"""Which exceptions mean that a service is away for now: the same call may succeed later."""

import redis
from psycopg.errors import DiskFull
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
"""PostgreSQL is down, stopping or starting; or it chose this transaction to break a deadlock."""

REDIS_AWAY = (redis.RedisError, OSError)
"""Redis is down, or does not answer in time (a TimeoutError is an OSError)."""


def is_disk_full(error: Exception) -> bool:
    """Whether PostgreSQL has no room on its disk. It still answers what only reads."""
    return isinstance(getattr(error, "orig", None), DiskFull)


def reason(error: Exception) -> str:
    """The first line of the driver's message, for the log."""
    text = str(getattr(error, "orig", None) or error)
    return text.partition("\n")[0]
