"""Ending a job early: cancel, accept, and the job of a client that has left."""

import logging
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from api.jobs.lookup import existing
from api.problems import NoSuchJob
from api.services import Services
from store import moves, tables, wakeups

log = logging.getLogger(__name__)


async def cancel(services: Services, job: UUID) -> bool:
    """Cancel a queued job, or ask the worker of a running one to stop. Returns False if the job was asked before or
    has ended: nothing changes then.

    Raises:
        NoSuchJob: there is no such job.
    """
    row, moved = await _move(services, job, moves.cancel(job))
    if moved:
        # The end of a running job is counted by its worker.
        services.metrics.ends.count(row.state, None, None, row.model)
    return moved


async def accept(services: Services, job: UUID) -> bool:
    """Ask the worker of a running job to end it with its newest iterates. Returns False if the job was asked before,
    has no iterate to keep, or has ended: nothing changes then.

    Raises:
        NoSuchJob: there is no such job.
    """
    _, moved = await _move(services, job, moves.accept(job))
    return moved


async def abandon(services: Services, job: UUID) -> None:
    """Cancel the job of a client that has disconnected before its end. Nobody is told if that fails."""
    try:
        if await cancel(services, job):
            log.info("job %s is canceled: its client has left", job)
    except (SQLAlchemyError, NoSuchJob) as error:
        log.warning("job %s, whose client has left, is not canceled: %s", job, error)


async def _move(services: Services, job: UUID, move: moves.Moved) -> tuple[tables.Job, bool]:
    async with services.moving.begin() as session:
        moved = (await session.execute(move)).one_or_none()
        row = await existing(session, job)
    if moved:
        await wakeups.control_async(services.redis, job)
        await wakeups.publish_async(services.redis, job, moved.seq)
    return row, moved is not None
