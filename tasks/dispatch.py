"""Calling workers for queued jobs, and noting it."""

from collections.abc import Sequence
from uuid import UUID

from celery.utils.log import get_logger
from sqlalchemy.orm import Session, sessionmaker

from store import moves
from tasks.outages import GaveUp, transact
from tasks.queue import QueueUnavailable, enqueue

log = get_logger(__name__)


def send(sessions: sessionmaker[Session], job_ids: Sequence[UUID]) -> int:
    """Call a worker for each of these jobs, until the broker refuses one. Returns for how many it did not.

    Never fails: a job that stays unsent, or is sent and not noted, is sent by the janitor.
    """
    sent: list[UUID] = []
    for job_id in job_ids:
        try:
            enqueue()
        except QueueUnavailable as error:
            log.warning("%d jobs stay unsent for now: %s", len(job_ids) - len(sent), error)
            break
        sent.append(job_id)
    if sent:
        try:
            transact(sessions, lambda session: session.execute(moves.mark_sent(sent)), what=f"{len(sent)} jobs")
        except GaveUp as error:
            log.warning("jobs were sent, but not marked so: %s", error)
    return len(sent)


def pass_on() -> None:
    """Have another worker look for work. Never fails: the janitor does so too."""
    try:
        enqueue()
    except QueueUnavailable as error:
        log.warning("nobody was called: %s", error)
