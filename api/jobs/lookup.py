"""Looking up a job, and waiting until it has ended."""

from uuid import UUID

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from api.http.prefer import Wait
from api.live.subscriptions import Look
from api.problems import NoSuchJob
from api.services import Services
from contract.words import TERMINAL
from store import reads, tables

NO_TIMEOUT = 30 * 86400  # s; clients have timeouts of their own


async def existing(session: AsyncSession, job: UUID) -> tables.Job:
    """The row of a job.

    Raises:
        NoSuchJob: there is none.
    """
    if row := await session.scalar(reads.job(job)):
        return row
    raise NoSuchJob.of(job)


async def wait_for_end(services: Services, request: Request, job: UUID) -> bool:
    """Wait until a job has ended. Returns False if the client disconnected before that. The body of the request must
    have been read.

    Raises:
        NoSuchJob: the job was deleted meanwhile.
    """

    async def look(session: AsyncSession) -> Look[bool]:
        row = await existing(session, job)
        return Look(row.seq, row.state in TERMINAL)

    wait = Wait(NO_TIMEOUT, preferred=False)
    return await services.subscriptions.until_enough(job, request, wait, ("end", job), look, bool)
