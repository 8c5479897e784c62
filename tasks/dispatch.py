"""Messages that call workers for queued jobs."""

from collections.abc import Sequence
from uuid import UUID

from celery.utils.log import get_logger
from sqlalchemy.orm import Session, sessionmaker

from store import moves
from tasks.outages import GaveUp, transact
from tasks.queue import QueueUnavailable, enqueue

log = get_logger(__name__)


def send(sessions: sessionmaker[Session], job_ids: Sequence[UUID]) -> int:
    """Send a message for each of these jobs, until the broker refuses one, and mark the jobs as sent. Returns how many
    messages were sent.

    Never raises: the janitor sends messages for jobs that are not marked.
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
    """Send a message so that another worker looks for work. Never raises: the janitor sends messages, too."""
    try:
        enqueue()
    except QueueUnavailable as error:
        log.warning("no worker was called: %s", error)
