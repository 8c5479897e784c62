"""Rows of the store as the JSON of responses."""

from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.jobs.lookup import existing
from api.links import Links
from api.queue.pace import Pace
from api.services import Services
from api.surfaces.native import schemas
from contract.fields import Generation, Handling
from contract.warnings import Warning
from contract.words import TERMINAL, EventKind
from store import moves, reads, tables


async def read(services: Services, links: Links, job_id: UUID) -> schemas.Job:
    """A job as it is now.

    Raises:
        NoSuchJob: there is no such job.
    """
    async with services.reading.begin() as session:
        view, _ = await job(session, links, await existing(session, job_id), await services.pacer.now(session))
    return view


async def job(session: AsyncSession, links: Links, row: tables.Job, pace: Pace) -> tuple[schemas.Job, str]:
    """A job, and its ETag."""
    view = (await jobs(session, links, [row], pace))[0]
    # The JSON changes with the events of the job, and with its position in the queue. A new estimate is not a change.
    return view, etag(row, view.queue_position)


def queued(
    links: Links,
    saved: moves.Submitted,
    generation: Generation,
    handling: Handling,
    position: int | None,
    pace: Pace,
    warnings: Sequence[Warning] = (),
) -> schemas.Job:
    """A job that was submitted just now, made of what was saved, without reading it again."""
    row = tables.Job(
        id=saved.id,
        state=saved.state,
        priority=handling.priority,
        cancel_requested=False,
        accept_requested=False,
        deadline_at=saved.deadline_at,
        created_at=saved.created_at,
        updated_at=saved.created_at,
        generation=generation.model_dump(),
        webhook=None if handling.webhook is None else handling.webhook.model_dump(mode="json"),
        warnings=[warning.model_dump() for warning in warnings],
    )
    numbers = range(generation.images)
    images = [
        tables.Image(job_id=saved.id, number=n, seed=generation.seed_of(n), rounds=0, evaluations=0) for n in numbers
    ]
    return _job(links, row, images, position, pace)


async def jobs(session: AsyncSession, links: Links, rows: Sequence[tables.Job], pace: Pace) -> list[schemas.Job]:
    """These jobs, with their images and positions in the queue."""
    ids = [row.id for row in rows]
    found = (await session.scalars(reads.images(ids))).all()
    images = {job_id: list(group) for job_id, group in groupby(found, key=lambda image: image.job_id)}
    queued = [row.id for row in rows if row.state == "queued"]
    query = reads.queue_positions(queued, pace.max_running)
    positions = dict((await session.execute(query)).all()) if queued else {}
    return [_job(links, row, images[row.id], positions.get(row.id), pace) for row in rows]


def etag(row: tables.Job, queue_position: int | None = None) -> str:
    """The weak ETag of a job and its iterates: the number of its newest event."""
    return f'W/"{row.seq}"' if queue_position is None else f'W/"{row.seq}.{queue_position}"'


def iterate(links: Links, row: tables.Iterate) -> schemas.Iterate:
    """One iterate with its figures."""
    return schemas.Iterate(
        image=row.image,
        iterate=row.iterate,
        residual=row.residual,
        error_estimate=row.error_estimate,
        rounds=row.rounds,
        evaluations=row.evaluations,
        elapsed=row.elapsed,
        final=row.final,
        created_at=row.created_at,
        picture=links.picture(row.job_id, row.image, row.iterate) if row.etag else None,
    )


def delivery(links: Links, row: tables.Delivery, kind: EventKind) -> schemas.Delivery:
    """One delivery; ``kind`` is that of its event."""
    return schemas.Delivery(
        id=row.id,
        seq=row.seq,
        event=kind,
        state=row.state,
        attempts=row.attempts,
        status=row.status,
        error=row.error,
        created_at=row.created_at,
        attempted_at=row.attempted_at,
        next_attempt_at=row.due_at,
        links=schemas.DeliveryLinks(send=links.send(row.job_id, row.id)),
    )


def _job(
    links: Links, row: tables.Job, images: Sequence[tables.Image], queue_position: int | None, pace: Pace
) -> schemas.Job:
    return schemas.Job(
        id=row.id,
        state=row.state,
        stopped=row.stopped,
        error=row.error,
        failure=row.failure,
        priority=row.priority,
        cancel_requested=row.cancel_requested,
        accept_requested=row.accept_requested,
        queue_position=queue_position,
        estimated_wait_seconds=None if queue_position is None else pace.wait(queue_position),
        preparing=row.preparing,
        deadline_at=row.deadline_at,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        updated_at=row.updated_at,
        request=Generation.model_validate(row.generation),
        webhook=None if row.webhook is None else schemas.Webhook(url=row.webhook["url"], events=row.webhook["events"]),
        warnings=[Warning.model_validate(warning) for warning in row.warnings],
        images=[_image(links, image, row.state in TERMINAL) for image in images],
        links=schemas.JobLinks(
            self=links.job(row.id),
            cancel=links.cancel(row.id),
            accept=links.accept(row.id),
            refine=links.refine(row.id),
            events=links.events(row.id),
            iterates=links.iterates(row.id),
            deliveries=links.deliveries(row.id),
        ),
    )


def _image(links: Links, row: tables.Image, ended: bool) -> schemas.Image:
    # While the job is refined, its last picture is not final; if refining fails, it is final again.
    finished = row.final if row.stopped or ended else None
    return schemas.Image(
        number=row.number,
        seed=row.seed,
        iterate=row.iterate,
        residual=row.residual,
        error_estimate=row.error_estimate,
        rounds=row.rounds,
        evaluations=row.evaluations,
        method=row.method,
        blocks=row.blocks,
        predicted_rounds=row.predicted_rounds,
        predicted_evaluations=row.predicted_evaluations,
        stopped=row.stopped,
        error=row.error,
        links=schemas.ImageLinks(
            latest=links.picture(row.job_id, row.number, "latest"),
            final=None if finished is None else links.picture(row.job_id, row.number, finished),
        ),
    )
