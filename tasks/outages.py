"""Work that outlives an outage of what it is stored in, and one log line for the start and the end of each outage."""

from collections.abc import Callable
from logging import Logger
from typing import TypeVar

from celery.utils.log import get_logger
from sqlalchemy.orm import Session, sessionmaker
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_chain, wait_exponential, wait_none

from store.outages import DATABASE_AWAY, reason
from store.pictures import PicturesUnavailable

AWAY = (*DATABASE_AWAY, PicturesUnavailable)
FIRST_PAUSE = 0.1  # s
LONGEST_PAUSE = 2.0  # s

T = TypeVar("T")

log = get_logger(__name__)


class GaveUp(Exception):
    """PostgreSQL, or the store of pictures, stayed away for longer than there was reason to wait."""


class Outage:
    """Logs that something is away once, however often it is tried meanwhile, and that it is back."""

    def __init__(self, log: Logger, away: str, back: str) -> None:
        """``away``, ``back``: the messages; ``away`` has a ``%s`` for the error."""
        self._log = log
        self._away = away
        self._back = back
        self._lasts = False

    def failed(self, error: Exception) -> None:
        """An attempt has failed."""
        if not self._lasts:
            self._log.warning(self._away, reason(error))
        self._lasts = True

    def succeeded(self) -> None:
        """An attempt has succeeded."""
        if self._lasts:
            self._log.info(self._back)
        self._lasts = False


def transact(
    sessions: sessionmaker[Session],
    work: Callable[[Session], T],
    *,
    hopeless: Callable[[], bool] = lambda: True,
    what: str,
) -> T:
    """Do ``work`` in a transaction and commit. While PostgreSQL or the store of pictures is away, try again with
    growing pauses.

    A transaction whose commit was not confirmed is repeated, so ``work`` must have the same effect when done twice.

    Args:
        hopeless: whether to stop trying; asked after each failure but the first.
        what: what is done, for the log.

    Raises:
        GaveUp: it was hopeless.
    """
    database = Outage(log, f"{what}: PostgreSQL is away, trying until it is back: %s", f"{what}: PostgreSQL is back")
    pictures = Outage(
        log, f"{what}: the pictures are away, trying until they are back: %s", f"{what}: the pictures are back"
    )

    def attempt() -> T:
        with sessions() as session:
            result = work(session)
            session.commit()
            return result

    def note(state: RetryCallState) -> None:
        if state.attempt_number > 1 and state.outcome and isinstance(error := state.outcome.exception(), Exception):
            (pictures if isinstance(error, PicturesUnavailable) else database).failed(error)

    attempts = Retrying(
        retry=retry_if_exception_type(AWAY),
        # The second attempt comes at once: the connection may have died long ago.
        wait=wait_chain(wait_none(), wait_exponential(multiplier=FIRST_PAUSE / 2, max=LONGEST_PAUSE)),
        stop=lambda state: state.attempt_number > 1 and hopeless(),
        before_sleep=note,
        reraise=True,
    )
    try:
        result = attempts(attempt)
    except AWAY as error:
        raise GaveUp(f"{what}: {reason(error)}") from error
    database.succeeded()
    pictures.succeeded()
    return result
