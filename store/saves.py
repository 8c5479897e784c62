"""What a worker saves while it runs a job, under its fence.

Every function takes a blocking Session and is one transaction of its own, committed when it returns. It first raises
the job's ``seq`` where the job still runs under the worker's attempt, which locks the row: a worker that lost its
lease finds no such row and writes nothing, and nobody moves the job between the check and the writes.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Insert, Table, Update, and_, bindparam, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from store.deliveries import outbox
from store.moves import held
from store.tables import EventKind, SampledBy, Stopped, checkpoints, events, images, iterates, jobs


class LeaseLost(Exception):
    """The job no longer runs under this attempt: stop, and write nothing."""


@dataclass(frozen=True)
class Saved:
    """An iterate that was saved: the number of its event, and the ETag of its picture."""

    seq: int
    etag: str | None


class SavedCheckpoint(NamedTuple):
    """The states of an image as the sampler serialised them; ``iterate`` was complete then, None before the first."""

    iterate: int | None
    data: bytes


def start_image(
    session: Session,
    job_id: UUID,
    attempt: int,
    image: int,
    *,
    method: SampledBy,
    blocks: int,
    predicted_rounds: int,
    predicted_evaluations: int,
) -> int:
    """Save what the planner expects of an image. Returns the number of its ``state`` event.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
    """
    plan = {
        "method": method,
        "blocks": blocks,
        "predicted_rounds": predicted_rounds,
        "predicted_evaluations": predicted_evaluations,
    }
    return _save_image(session, job_id, attempt, image, plan)


def save_iterate(
    session: Session,
    job_id: UUID,
    attempt: int,
    image: int,
    iterate: int,
    *,
    residual: float | None,
    rounds: int,
    evaluations: int,
    picture: bytes | None,
    checkpoint: bytes | None,
    final: bool,
) -> Saved:
    """Save one iterate with its figures, its picture (PNG) and the checkpoint to go on from, and its event.

    ``elapsed`` is measured here, by the database: how long the job has run, over all its runs. Saving the same iterate
    again replaces it: a run that started over repeats the iterates of the one before.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
    """
    etag = sha256(picture).hexdigest() if picture is not None else None
    figures: dict[str, Any] = {"residual": residual, "rounds": rounds, "evaluations": evaluations}
    with _fenced(session, job_id, attempt) as (seq, elapsed):
        told = {**figures, "elapsed": elapsed, "etag": etag, "final": final}
        _replace(
            session, iterates, {"job_id": job_id, "image": image, "iterate": iterate}, {**told, "picture": picture}
        )
        given = {f"new_{name}": value for name, value in {"iterate": iterate, **figures}.items()}
        session.execute(_newest(), {"job": job_id, "image": image, **given})
        if final:
            _note_final(session, job_id, image, iterate)
        if checkpoint is not None:
            saved = {"iterate": iterate, "data": checkpoint}
            _replace(session, checkpoints, {"job_id": job_id, "image": image}, saved)
        _tell(session, job_id, seq, "iterate", {"image": image, "iterate": iterate, **told})
    return Saved(seq, etag)


def make_final(
    session: Session, job_id: UUID, attempt: int, image: int, iterate: int, *, picture: bytes | None = None
) -> int:
    """Make an iterate that was saved before the final one of its image, and save its picture (PNG) where it has none.
    Returns the number of its ``iterate`` event, which tells its figures again.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
    """
    etag = sha256(picture).hexdigest() if picture is not None else None
    key = and_(iterates.c.job_id == job_id, iterates.c.image == image, iterates.c.iterate == iterate)
    with _fenced(session, job_id, attempt) as (seq, _):
        told = ("image", "iterate", "residual", "rounds", "evaluations", "elapsed", "etag", "final")
        final = (
            update(iterates)
            .where(key)
            .values(
                final=True,
                picture=func.coalesce(iterates.c.picture, picture),
                etag=func.coalesce(iterates.c.etag, etag),
            )
            .returning(*(iterates.c[name] for name in told))
        )
        _tell(session, job_id, seq, "iterate", dict(session.execute(final).mappings().one()))
        _note_final(session, job_id, image, iterate)
    return seq


def finish_image(
    session: Session,
    job_id: UUID,
    attempt: int,
    image: int,
    *,
    stopped: Stopped | None = None,
    error: str | None = None,
) -> int:
    """Save why an image stopped, or what made it fail. Returns the number of its ``state`` event.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
    """
    error = error.replace("\0", "") if error is not None else None  # PostgreSQL stores no NUL character
    return _save_image(session, job_id, attempt, image, {"stopped": stopped, "error": error})


def save_checkpoint(session: Session, job_id: UUID, attempt: int, image: int, iterate: int | None, data: bytes) -> None:
    """Save where an image stands between two iterates, for another worker to go on from. No event: there is nothing
    to see.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
    """
    try:
        # Locked, so that nobody moves the job between the check and the write.
        if session.scalar(select(jobs.c.id).where(held(job_id, attempt)).with_for_update()) is None:
            raise _lost(job_id, attempt)
        _replace(session, checkpoints, {"job_id": job_id, "image": image}, {"iterate": iterate, "data": data})
        session.commit()
    except BaseException:
        session.rollback()
        raise


def load_checkpoints(session: Session, job_id: UUID) -> dict[int, SavedCheckpoint]:
    """The newest checkpoint of every image of a job that has one, by image number."""
    query = select(checkpoints.c.image, checkpoints.c.iterate, checkpoints.c.data)
    rows = session.execute(query.where(checkpoints.c.job_id == job_id))
    return {image: SavedCheckpoint(iterate, data) for image, iterate, data in rows}


@contextmanager
def _fenced(session: Session, job_id: UUID, attempt: int) -> Generator[tuple[int, float]]:
    """A transaction on a job that the worker still holds. Gives the number of the event that it must save, and the
    seconds that the job has run."""
    try:
        row = session.execute(_raise(), {"job": job_id, "under": attempt}).one_or_none()
        if row is None:
            raise _lost(job_id, attempt)
        yield row[0], float(row[1])
        session.commit()
    except BaseException:
        session.rollback()
        raise


def _lost(job_id: UUID, attempt: int) -> LeaseLost:
    return LeaseLost(f"job {job_id} no longer runs under attempt {attempt}")


def _note_final(session: Session, job_id: UUID, image: int, iterate: int) -> None:
    session.execute(update(images).where(images.c.job_id == job_id, images.c.number == image).values(final=iterate))


def _save_image(session: Session, job_id: UUID, attempt: int, image: int, values: dict[str, Any]) -> int:
    with _fenced(session, job_id, attempt) as (seq, _):
        session.execute(update(images).where(images.c.job_id == job_id, images.c.number == image).values(values))
        told = {"state": "running", "stopped": None, "error": None, "image": {"number": image, **values}}
        _tell(session, job_id, seq, "state", told)
    return seq


def _replace(session: Session, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    session.execute(_upsert(table, tuple(key), tuple(values)), {**key, **values})


def _tell(session: Session, job_id: UUID, seq: int, kind: EventKind, data: dict[str, Any]) -> None:
    session.execute(_event(kind), {"job": job_id, "number": seq, "data": data})


# Built once each: that takes several times as long as PostgreSQL needs to run them, and clients wait for it.


@cache
def _raise() -> ReturningUpdate[int, float]:
    """Raise the number of events of a job that is held."""
    elapsed = jobs.c.ran_seconds + func.extract("epoch", func.clock_timestamp() - jobs.c.claimed_at)
    ours = held(bindparam("job", type_=jobs.c.id.type), bindparam("under", type_=jobs.c.attempt.type))
    return update(jobs).where(ours).values(seq=jobs.c.seq + 1, updated_at=func.now()).returning(jobs.c.seq, elapsed)


@cache
def _upsert(table: Table, key: tuple[str, ...], values: tuple[str, ...]) -> Insert:
    row = upsert(table).values({name: bindparam(name) for name in (*key, *values)})
    replaced = {name: row.excluded[name] for name in values}
    return row.on_conflict_do_update(index_elements=key, set_={**replaced, "created_at": func.now()})


@cache
def _newest() -> Update:
    """Have an image's figures be those of an iterate, unless it has a newer one."""
    figures = {name: bindparam(f"new_{name}", type_=images.c[name].type)
               for name in ("iterate", "residual", "rounds", "evaluations")}  # fmt: skip
    which = and_(images.c.job_id == bindparam("job"), images.c.number == bindparam("image"))
    older = or_(images.c.iterate.is_(None), images.c.iterate <= figures["iterate"])
    return update(images).where(which, older).values(figures)


@cache
def _event(kind: EventKind) -> Insert:
    job = bindparam("job", type_=events.c.job_id.type)
    row = insert(events).values(job_id=job, seq=bindparam("number"), kind=kind, data=bindparam("data"))
    return row.add_cte(outbox(jobs, literal(kind), jobs.c.id == job).cte("outbox"))
