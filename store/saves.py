"""What a worker saves while it runs a job, if the job is still its own.

Every function takes a blocking Session and is one transaction, committed when it returns, and one statement, since
clients wait for it. The first part of the statement raises the job's ``seq`` if the job still runs under the worker's
attempt, which locks the row. All other parts depend on that row. So a worker that has lost its lease writes nothing,
and nobody moves the job between the check and the writes.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Insert,
    Select,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from contract.warnings import Warning
from contract.words import EventKind, SampledBy, Stopped
from store.deliveries import record_event
from store.moves import held
from store.pictures import PictureId, Pictures
from store.tables import checkpoints, images, iterates, jobs

# What an iterate measured and cost.
FIGURES = ("residual", "error_estimate", "rounds", "evaluations")
# The data of an iterate's event.
EVENT_FIELDS = ("image", "iterate", *FIGURES, "elapsed", "etag", "final")
# What a save writes of a checkpoint.
KEPT = ("image", "iterate", "data", "sha256")

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The job no longer runs under this attempt: nothing was written, and its run must stop."""


@dataclass(frozen=True)
class Saved:
    """A saved iterate: the number of its event, the ETag of its picture (None without one), and its checkpoint (None
    without one)."""

    seq: int
    etag: str | None
    checkpoint: PictureId | None = None


class SavedCheckpoint(NamedTuple):
    """The states of an image as the sampler serialised them, and its newest complete iterate (None: none yet)."""

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
    """Save the plan of an image. Returns the number of its ``state`` event.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
    """
    plan = {
        "method": method,
        "blocks": blocks,
        "predicted_rounds": predicted_rounds,
        "predicted_evaluations": predicted_evaluations,
    }
    return _save(session, job_id, attempt, _image(tuple(plan)), {"image": image, **plan})


def prepare(session: Session, job_id: UUID, attempt: int, share: float | None) -> int:
    """Save how much of the job's model is in memory, from 0 to 1; None when it is ready. Returns the number of its
    ``state`` event.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
    """
    return _save(session, job_id, attempt, _preparing(), {"preparing": share})


def warn(session: Session, job_id: UUID, attempt: int, warnings: Sequence[Warning]) -> None:
    """Add warnings about the request that only a worker can give. Those of an earlier run are not repeated. No event:
    the plan of an image follows.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
    """
    row = session.execute(select(jobs.c.warnings).where(held(job_id, attempt)).with_for_update()).one_or_none()
    if row is None:
        session.rollback()
        raise LeaseLost(f"job {job_id} no longer runs under attempt {attempt}")
    dumped = [warning.model_dump() for warning in warnings]
    new = [warning for warning in dumped if warning not in row[0]]
    session.execute(update(jobs).where(jobs.c.id == job_id).values(warnings=row[0] + new))
    session.commit()


def save_iterate(
    session: Session,
    pictures: Pictures,
    job_id: UUID,
    attempt: int,
    image: int,
    iterate: int,
    *,
    residual: float | None,
    error_estimate: float | None,
    rounds: int,
    evaluations: int,
    picture: bytes | None,
    checkpoint: bytes | None,
    final: bool,
) -> Saved:
    """Save one iterate: its figures, its picture (PNG), the checkpoint to resume from, and its event.

    The database measures ``elapsed``: how long the job has run, over all its runs. Saving the same iterate again
    replaces it, since a run that starts over repeats the iterates of the run before.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
        PicturesUnavailable: the store of pictures is away; nothing was written.
    """
    stored = _put(session, pictures, job_id, picture)
    kept = None if checkpoint is None else pictures.put(session, job_id, checkpoint)
    row: dict[str, Any] = {
        "image": image,
        "iterate": iterate,
        "residual": residual,
        "error_estimate": error_estimate,
        "rounds": rounds,
        "evaluations": evaluations,
        **stored,
        "final": final,
    }
    if kept is not None:
        row |= {"data": kept.inline, "sha256": kept.sha256}
    seq = _save(session, job_id, attempt, _iterate(kept is not None), row)
    return Saved(seq, stored["etag"], kept and PictureId(job_id, kept.sha256))


def make_final(
    session: Session,
    pictures: Pictures,
    job_id: UUID,
    attempt: int,
    image: int,
    iterate: int,
    *,
    picture: bytes | None = None,
) -> int:
    """Make a saved iterate the final one of its image, and save its picture (PNG) if it has none yet. Returns the
    number of its ``iterate`` event, which repeats its figures.

    Raises:
        LeaseLost, PicturesUnavailable: see ``save_iterate``.
    """
    row = {"image": image, "iterate": iterate, **_put(session, pictures, job_id, picture)}
    return _save(session, job_id, attempt, _final(), row)


def finish_image(
    session: Session,
    job_id: UUID,
    attempt: int,
    image: int,
    *,
    stopped: Stopped | None = None,
    error: str | None = None,
) -> int:
    """Save why an image stopped, or why it failed. Returns the number of its ``state`` event.

    Raises:
        LeaseLost: the job no longer runs under ``attempt``.
    """
    error = error.replace("\0", "") if error is not None else None  # PostgreSQL stores no NUL character
    end = {"stopped": stopped, "error": error}
    return _save(session, job_id, attempt, _image(tuple(end)), {"image": image, **end})


def save_checkpoint(
    session: Session,
    pictures: Pictures,
    job_id: UUID,
    attempt: int,
    image: int,
    iterate: int | None,
    data: bytes,
) -> PictureId:
    """Save the state of an image between two iterates, so that another worker can resume from it. There is no event,
    as clients see no change.

    Raises:
        LeaseLost, PicturesUnavailable: see ``save_iterate``.
    """
    kept = pictures.put(session, job_id, data)
    row = {"image": image, "iterate": iterate, "data": kept.inline, "sha256": kept.sha256}
    _save(session, job_id, attempt, _checkpoint(), row)
    return PictureId(job_id, kept.sha256)


def load_checkpoints(session: Session, pictures: Pictures, job_id: UUID) -> dict[int, SavedCheckpoint]:
    """The newest checkpoint of every image of a job that has one, by image number.

    Raises:
        PicturesUnavailable: the store of pictures is away.
    """
    query = select(checkpoints.c.image, checkpoints.c.iterate, checkpoints.c.data, checkpoints.c.sha256)
    found: dict[int, SavedCheckpoint] = {}
    for image, iterate, inline, sha256 in session.execute(query.where(checkpoints.c.job_id == job_id)).all():
        data = pictures.load(PictureId(job_id, sha256)) if inline is None else inline
        if data is None:
            log.error("job %s: the store of pictures has lost the checkpoint of image %d", job_id, image)
        else:
            found[image] = SavedCheckpoint(iterate, data)
    return found


def _put(session: Session, pictures: Pictures, job_id: UUID, picture: bytes | None) -> dict[str, Any]:
    """Store a picture. Returns the columns that refer to it."""
    if picture is None:
        return {"etag": None, "picture": None}
    stored = pictures.put(session, job_id, picture)
    return {"etag": stored.sha256, "picture": stored.inline}


def _save(session: Session, job_id: UUID, attempt: int, save: Select[int], row: Mapping[str, Any]) -> int:
    """Execute one of the statements below and commit. Returns the job's new ``seq``."""
    given = {"job": job_id, "attempt": attempt, **row}
    try:
        seq = session.scalar(save, {f"given_{name}": value for name, value in given.items()})
        if seq is None:
            raise LeaseLost(f"job {job_id} no longer runs under attempt {attempt}")
        session.commit()
    except BaseException:
        session.rollback()
        raise
    return seq


# Each is built once: SQLAlchemy needs several times as long to build one as PostgreSQL to run it.


@cache
def _iterate(checkpointed: bool) -> Select[int]:
    job = _raised()
    row = _given(iterates, "image", "iterate", *FIGURES, "picture", "etag", "final")
    row["elapsed"] = job.c.elapsed
    # The image's figures are those of its newest iterate.
    newer = or_(images.c.iterate.is_(None), images.c.iterate <= row["iterate"])
    newest = {name: case((newer, row[name]), else_=images.c[name]) for name in ("iterate", *FIGURES)}
    final = case((row["final"], row["iterate"]), else_=images.c.final)
    image = update(images).where(_its_image(job)).values(final=final, **newest)
    parts = [_replace(iterates, job, row).cte("iterate"), image.cte("image")]
    if checkpointed:
        parts.append(_replace(checkpoints, job, _given(checkpoints, *KEPT)).cte("checkpoint"))
    return _with_event(job, "iterate", _object({name: row[name] for name in EVENT_FIELDS})).add_cte(*parts)


@cache
def _final() -> Select[int]:
    job = _raised()
    row = _given(iterates, "image", "iterate", "picture", "etag")
    kept = {name: case((iterates.c.etag.is_(None), row[name]), else_=iterates.c[name]) for name in ("picture", "etag")}
    its = and_(iterates.c.job_id == job.c.id, *(iterates.c[name] == row[name] for name in ("image", "iterate")))
    fields = [iterates.c[name] for name in EVENT_FIELDS]
    iterate = update(iterates).where(its).values(final=True, **kept).returning(*fields).cte("iterate")
    image = update(images).where(_its_image(job)).values(final=row["iterate"])
    data = _object({name: iterate.c[name] for name in EVENT_FIELDS})
    return _with_event(job, "iterate", select(data).scalar_subquery()).add_cte(image.cte("image"))


@cache
def _image(values: tuple[str, ...]) -> Select[int]:
    job = _raised()
    given = _given(images, *values)
    image = update(images).where(_its_image(job)).values(given)
    part = _object({"number": _its_number(), **given})
    data = _object({"state": literal("running"), "stopped": None, "error": None, "image": part})
    return _with_event(job, "state", data).add_cte(image.cte("image"))


@cache
def _preparing() -> Select[int]:
    given = _given(jobs, "preparing")
    job = _raised(**given)
    data = _object({"state": literal("running"), "stopped": None, "error": None, **given})
    return _with_event(job, "state", data)


@cache
def _checkpoint() -> Select[int]:
    # The lock keeps others from moving the job between the check and the write.
    job = select(jobs.c.id, jobs.c.seq).where(_held()).with_for_update().cte("job")
    row = _given(checkpoints, *KEPT)
    return select(job.c.seq).add_cte(_replace(checkpoints, job, row).cte("checkpoint"))


def _raised(**values: ColumnElement[Any]) -> CTE:
    """Raise ``seq`` to the number of a new event if the worker holds the job, and set ``values``. ``elapsed`` is how
    long it has run."""
    elapsed = jobs.c.ran_seconds + func.extract("epoch", func.clock_timestamp() - jobs.c.claimed_at)
    raised = update(jobs).where(_held()).values(seq=jobs.c.seq + 1, updated_at=func.now(), **values)
    return raised.returning(jobs.c.id, jobs.c.seq, jobs.c.webhook, elapsed.label("elapsed")).cte("job")


def _held() -> ColumnElement[bool]:
    return held(bindparam("given_job", type_=jobs.c.id.type), bindparam("given_attempt", type_=jobs.c.attempt.type))


def _given(table: Table, *names: str) -> dict[str, ColumnElement[Any]]:
    """Parameters for these columns. The casts are needed since PostgreSQL infers no types inside of a JSON object."""
    return {name: cast(bindparam(f"given_{name}", type_=table.c[name].type), table.c[name].type) for name in names}


def _its_number() -> BindParameter[int]:
    return bindparam("given_image", type_=images.c.number.type)


def _its_image(job: CTE) -> ColumnElement[bool]:
    return and_(images.c.job_id == job.c.id, images.c.number == _its_number())


def _replace(table: Table, job: CTE, row: Mapping[str, ColumnElement[Any]]) -> Insert:
    """Insert a row of the job, or replace the one with the same key."""
    new = upsert(table).from_select(["job_id", *row], select(job.c.id, *row.values()))
    key = [column.name for column in table.primary_key]
    replaced = {name: new.excluded[name] for name in row if name not in key}
    return new.on_conflict_do_update(index_elements=key, set_={**replaced, "created_at": func.now()})


def _object(values: Mapping[str, Any]) -> ColumnElement[Any]:
    return func.jsonb_build_object(*(part for pair in values.items() for part in pair))


def _with_event(job: CTE, kind: EventKind, data: ColumnElement[Any]) -> Select[int]:
    """Record the event. Returns its number."""
    return select(job.c.seq).add_cte(*record_event(job, literal(kind), data))
