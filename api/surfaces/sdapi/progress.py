"""Progress, interrupt and skip. They are about the oldest job that a client with the same key waits for."""

from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Query

from api.auth.caller import Caller
from api.encoding.formats import PNG
from api.guard import WithCaller
from api.jobs import control
from api.pictures.lookup import find_picture
from api.pictures.outcome import encoded
from api.problems import NoSuchJob, NoSuchPicture
from api.services import Services, WithServices
from api.surfaces.sdapi.txt2img import TIMESTAMP
from contract.words import TERMINAL
from store import held, reads, tables

router = APIRouter(prefix="/sdapi/v1", include_in_schema=False)


class Waiting(NamedTuple):
    """The jobs that clients wait for."""

    job: tables.Job
    """The oldest one that has not ended."""
    images: list[tables.Image]
    """Its images."""
    number: int
    """How many there are."""


@router.get("/progress")
async def progress(services: WithServices, caller: WithCaller, skip_current_image: bool = Query(False)) -> Any:
    """How far the job is. The current image is its newest iterate: a whole picture."""
    waiting = await _waiting(services, caller)
    share = seconds = 0.0
    picture: str | None = None
    rounds = predicted = 0
    if waiting:
        job, images, _ = waiting
        rounds = max(image.rounds for image in images)
        predicted = max(image.predicted_rounds or 0 for image in images)
        # 1 means that it has ended.
        share = min(sum(map(_share, images)) / len(images), 0.99)
        ran = job.ran_seconds
        if job.state == "running" and job.claimed_at:
            ran += (datetime.now(UTC) - job.claimed_at).total_seconds()
        seconds = ran * (1 - share) / share if share else 0.0
        if not skip_current_image:
            picture = await _newest(services, job.id, images)
    return {
        "progress": share,
        "eta_relative": max(0.0, seconds),
        "state": {
            "skipped": False,
            "interrupted": bool(waiting and (waiting.job.cancel_requested or waiting.job.accept_requested)),
            "stopping_generation": False,
            "job": str(waiting.job.id) if waiting else "",
            "job_count": waiting.number if waiting else 0,
            "job_timestamp": waiting.job.created_at.strftime(TIMESTAMP) if waiting else "0",
            "job_no": 0,
            "sampling_step": rounds,
            "sampling_steps": predicted,
        },
        "current_image": picture,
        "textinfo": f"waiting: {waiting.job.state}" if waiting and waiting.job.state == "queued" else None,
    }


@router.post("/interrupt")
@router.post("/skip")
async def interrupt(services: WithServices, caller: WithCaller) -> dict[str, Any]:
    """Ends the job with its newest iterates, or cancels it if it has none. The images of a job are computed together,
    so that skipping one of them is the same."""
    waiting = await _waiting(services, caller)
    if waiting:
        job, images, _ = waiting
        try:
            if any(image.iterate is None for image in images) or not await control.accept(services, job.id):
                await control.cancel(services, job.id)
        except NoSuchJob:
            pass  # deleted meanwhile
    return {}


async def _waiting(services: Services, caller: Caller) -> Waiting | None:
    ids = await held.jobs(services.redis, caller.key_id)
    if not ids:
        return None
    async with services.reading.begin() as session:
        rows = {row.id: row for row in (await session.scalars(reads.some(ids))).all()}
        alive = [rows[job] for job in ids if job in rows and rows[job].state not in TERMINAL]
        images = list((await session.scalars(reads.images([alive[0].id]))).all()) if alive else []
    # Requests whose API process has ended remove nothing.
    await held.remove(services.redis, caller.key_id, *(set(ids) - {row.id for row in alive}))
    return Waiting(alive[0], images, len(alive)) if alive else None


def _share(image: tables.Image) -> float:
    if image.stopped or image.error:
        return 1.0
    return image.rounds / image.predicted_rounds if image.predicted_rounds else 0.0


async def _newest(services: Services, job: UUID, images: list[tables.Image]) -> str | None:
    """The newest iterate of the first image that is not finished, or else of the last one."""
    image = next((image for image in images if not image.stopped and not image.error), images[-1])
    try:
        async with services.reading.begin() as session:
            found = await find_picture(session, job, image.number, None)
        return await encoded(services, job, image.number, found, PNG)
    except (NoSuchPicture, NoSuchJob):
        return None
