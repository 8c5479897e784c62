"""Sending queued jobs to the broker, and noting it."""

from collections.abc import Sequence
from uuid import UUID

from celery.utils.log import get_logger
from sqlalchemy.orm import Session, sessionmaker

from store import moves
from tasks.queue import QueueUnavailable, enqueue
from tasks.transactions import AWAY, reason

log = get_logger(__name__)


def send(sessions: sessionmaker[Session], job_ids: Sequence[UUID]) -> int:
    """Put jobs on the queue until the broker refuses one. Returns how many it took.

    Never fails: a job that stays unsent, or is sent and not noted, is sent by the janitor.
    """
    sent: list[UUID] = []
    for job_id in job_ids:
        try:
            enqueue(job_id)
        except QueueUnavailable as error:
            log.warning("%d jobs stay unsent for now: %s", len(job_ids) - len(sent), error)
            break
        sent.append(job_id)
    if sent:
        try:
            with sessions.begin() as session:
                session.execute(moves.mark_sent(sent))
        except AWAY as error:
            log.warning("%d jobs were sent, but not marked so: %s", len(sent), reason(error))
    return len(sent)
