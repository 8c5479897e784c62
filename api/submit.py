"""How a job gets from a request into the database and onto the queue."""

import logging
from uuid import UUID, uuid4

import anyio
from sqlalchemy.exc import SQLAlchemyError

from api import schemas, views
from api.links import Links
from api.services import Services
from store import moves
from store.generation import Generation
from store.handling import Handling
from tasks.queue import enqueue

# How long a client waits for a broker that does not answer, in seconds.
PATIENCE = 1.0

log = logging.getLogger(__name__)


async def submit(services: Services, links: Links, generation: Generation, handling: Handling) -> schemas.Job:
    """Save a job, then put it on the queue. Once it is saved it is a promise: the answer is there already, whatever
    happens then is logged, and the janitor sends the job later."""
    job = uuid4()
    async with services.moving.begin() as session:
        await session.execute(moves.submit(job, generation, handling))
        view, _ = await views.job(session, links, await views.existing(session, job))
    await send(services, job)
    return view


async def send(services: Services, job: UUID) -> None:
    """Put a queued job on the queue, and note it. Never fails: what is not sent is sent by the janitor."""
    try:
        if await _sent(services, job):
            async with services.moving.begin() as session:
                await session.execute(moves.mark_sent([job]))
    except SQLAlchemyError as error:
        log.warning("job %s was sent, but not marked so: %s", job, error)


async def _sent(services: Services, job: UUID) -> bool:
    with anyio.move_on_after(PATIENCE):
        try:
            # A thread that is given up on may still send the job: a job that is sent twice runs once.
            await anyio.to_thread.run_sync(enqueue, job, abandon_on_cancel=True, limiter=services.senders)
        except Exception as error:  # the job is saved: nothing that happens here may refuse it
            log.warning("job %s stays unsent for now: %s", job, error)
            return False
        return True
    log.warning("job %s stays unsent for now: the broker did not take it within %g s", job, PATIENCE)
    return False
