"""Database work that outlives a restart of PostgreSQL."""

from collections.abc import Callable
from time import sleep
from typing import TypeVar

from celery.utils.log import get_logger
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

# The server is gone, going, or coming back; or it chose this transaction to break a deadlock.
AWAY = (OperationalError, InterfaceError, PoolTimeout)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0

T = TypeVar("T")

log = get_logger(__name__)


class GaveUp(Exception):
    """PostgreSQL stayed away for longer than there was reason to wait."""


def reason(error: Exception) -> str:
    """One line of what the database driver said, for the log."""
    text = str(getattr(error, "orig", None) or error)
    return text.partition("\n")[0]


def transact(
    sessions: sessionmaker[Session],
    work: Callable[[Session], T],
    *,
    hopeless: Callable[[], bool] = lambda: True,
    what: str,
) -> T:
    """Do `work` in a transaction; while PostgreSQL is away, again and again with growing pauses. The second try comes
    at once: the connection may have died long ago.

    A transaction that was committed while its connection broke is repeated, so `work` must bear that.

    Args:
        work: is committed when it returns.
        hopeless: whether to stop trying, asked after each failure but the first.
        what: for the log.

    Raises:
        GaveUp: it was hopeless.
    """
    pause = 0.0
    while True:
        try:
            with sessions() as session:
                result = work(session)
                session.commit()
        except AWAY as error:
            if pause and hopeless():
                raise GaveUp(f"{what}: {reason(error)}") from error
            if pause == FIRST_PAUSE:
                log.warning("%s: PostgreSQL is away, trying until it is back: %s", what, reason(error))
            sleep(pause)
            pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
        else:
            if pause > FIRST_PAUSE:
                log.info("%s: PostgreSQL is back", what)
            return result
