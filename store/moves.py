"""Every change of a job's state. Nothing else changes one.

A move is one statement: a conditional UPDATE of the job and, as CTEs, its event (the event's number is the job's
``seq``, raised by one) and the delivery to the job's webhook. So they happen together or not at all, two moves of one
job happen one after the other, and a move that the job's state does not allow matches no row.

The functions build statements that Session and AsyncSession execute alike; the caller commits. Each returns a row

    (id, seq, state, attempt)

for every job that moved, and no row if the move was not legal: the job is in another state, does not exist, or runs
under another attempt than the caller's, who has lost the lease. All times are the database's.

    queued    -> running      claim
    queued    -> canceled     cancel
    queued    -> failed       expire
    running   -> running      cancel, accept (ask the worker), renew
    running   -> queued       release, rescue
    running   -> succeeded    succeed
    running   -> failed       fail, rescue, expire
    running   -> canceled     canceled, release, rescue, expire
    succeeded -> queued       refine
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    ColumnElement,
    Delete,
    Integer,
    Interval,
    Select,
    Update,
    and_,
    bindparam,
    case,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

from contract.fields import Generation, Handling
from contract.warnings import Warning
from contract.words import TERMINAL, Failure, State, Stopped
from store import logs, queue_order, tracing
from store.deliveries import record_event
from store.retention import etags_of_job
from store.tables import Image, Job, checkpoints, images, iterates, jobs

Moved = Select[UUID, int, State, int]
Submission = Select[UUID, int, State, int, datetime, datetime | None]


class Submitted(NamedTuple):
    """A row of ``submit``."""

    id: UUID
    seq: int
    state: State
    attempt: int
    created_at: datetime
    deadline_at: datetime | None


DEFAULT_HANDLING = Handling()
# Seconds of the run that ends. A worker that died counts as running until its lease ended.
_RAN = func.extract("epoch", func.least(func.now(), jobs.c.lease_expires_at) - jobs.c.claimed_at)
LEFT: Mapping[str, Any] = {
    "worker": None,
    "preparing": None,
    "lease_expires_at": None,
    "ran_seconds": jobs.c.ran_seconds + case((jobs.c.state == "running", func.greatest(_RAN, 0)), else_=0),
}

OVERDUE = (
    "the job had not ended by its deadline; the pictures that it has are kept: submit it again with a longer "
    "deadline_seconds, or for fewer evaluations"
)


def submit(
    job_id: UUID,
    generation: Generation,
    handling: Handling = DEFAULT_HANDLING,
    key_id: UUID | None = None,
    max_queued: int | None = None,
    warnings: Sequence[Warning] = (),
) -> Submission:
    """Insert a queued job, its images and its first event. ``key_id``: the API key that owns it. ``warnings``:
    about the request. No row if
    ``max_queued`` jobs are queued already. Submissions in the same instant do not see each other, so there may be a few
    more.

    The row is a ``Submitted``.
    """
    deadline = handling.deadline_seconds
    return _submission(max_queued).params(
        id=job_id,
        model=generation.model,
        generation=generation.model_dump(),
        key_id=key_id,
        request_id=logs.field("request_id"),
        traceparent=tracing.traceparent(),
        priority=handling.priority,
        deadline=None if deadline is None else timedelta(seconds=deadline),
        webhook=None if handling.webhook is None else handling.webhook.model_dump(),
        last=generation.images - 1,
        seed=generation.seed,
        warnings=[warning.model_dump() for warning in warnings],
    )


def mark_sent(job_ids: Sequence[UUID]) -> ReturningUpdate[UUID]:
    """Record that the broker accepted the messages for these jobs. Returns the ids of those still queued. No event."""
    queued = update(jobs).where(jobs.c.id.in_(job_ids), jobs.c.state == "queued")
    return queued.values(sent_at=func.now()).returning(jobs.c.id)


def claim(job_id: UUID, worker: str, lease_seconds: float) -> Moved:
    """queued -> running under a new attempt, leased to ``worker``. Of several claims of one job, one returns a row."""
    return _claim().params(job=job_id, worker_name=worker, lease=timedelta(seconds=lease_seconds))


def claim_next(
    worker: str,
    lease_seconds: float,
    last_try: queue_order.LastTry,
    max_running: int | None = None,
    models: queue_order.Models = queue_order.EVERY_MODEL,
) -> Select[Job, Image]:
    """Claim the job whose turn it is (``queue_order.first``). Returns a row for each of its images, with the job as it
    is after the claim. ``max_running``: how many jobs of a key without a limit of its own may run. ``models``: of which
    models.

    No row if the job cannot run together with what the worker runs. If the next job must run alone, no other job is
    claimed before it, so that the worker becomes free for it.
    """
    lease = {"worker_name": worker, "lease": timedelta(seconds=lease_seconds)}
    given = lease | last_try.params(worker) | models.params()
    return _claim_next(max_running).params(given)


def renew(worker: str, attempts: Mapping[UUID, int], lease_seconds: float) -> ReturningUpdate[UUID, bool, bool, bool]:
    """Extend the leases of a worker's jobs (id -> attempt).

    Returns (id, cancel_requested, accept_requested, overdue) of the jobs that the worker still holds. The leases of the
    others are lost. No event.
    """
    mine = tuple_(jobs.c.id, jobs.c.attempt).in_(list(attempts.items()))
    overdue = func.coalesce(jobs.c.deadline_at <= func.now(), false())
    return (
        update(jobs)
        .where(jobs.c.state == "running", jobs.c.worker == worker, mine)
        .values(lease_expires_at=_from_now(lease_seconds))
        .returning(jobs.c.id, jobs.c.cancel_requested, jobs.c.accept_requested, overdue)
    )


def release(job_id: UUID, attempt: int) -> Moved:
    """running -> queued, for a worker that shuts down: no crash is counted, and the job is unsent again. If its
    cancellation was requested, it becomes canceled."""
    canceled = jobs.c.cancel_requested
    return _ending(
        update(jobs).where(held(job_id, attempt)),
        **LEFT,
        state=case((canceled, "canceled"), else_="queued"),
        finished_at=case((canceled, func.now())),
        sent_at=None,
    )


def succeed(job_id: UUID, attempt: int, stopped: Stopped) -> Moved:
    """running -> succeeded, even if cancellation was requested meanwhile."""
    return _end(job_id, attempt, state="succeeded", stopped=stopped)


def fail(job_id: UUID, attempt: int, error: str, failure: Failure = "worker") -> Moved:
    """running -> failed; ``error`` is what the client reads."""
    return _end(job_id, attempt, state="failed", error=error.replace("\0", ""), failure=failure)


def canceled(job_id: UUID, attempt: int) -> Moved:
    """running -> canceled, by the worker that was asked to stop."""
    return _end(job_id, attempt, state="canceled", cancel_requested=True)


def cancel(job_id: UUID) -> Moved:
    """queued -> canceled; if the job runs, request that its worker stops. A second request returns no row."""
    queued = jobs.c.state == "queued"
    asked = and_(jobs.c.state == "running", ~jobs.c.cancel_requested)
    return _ending(
        update(jobs).where(jobs.c.id == job_id, or_(queued, asked)),
        state=case((queued, "canceled"), else_=jobs.c.state),
        finished_at=case((queued, func.now())),
        cancel_requested=True,
    )


def accept(job_id: UUID) -> Moved:
    """Request that the worker of a running job ends it with its newest iterates. A second request returns no row, and
    so does one after a cancellation. A job that is queued again after a run keeps the request for its next worker."""
    begun = or_(jobs.c.state == "running", and_(jobs.c.state == "queued", jobs.c.started_at.is_not(None)))
    return _move(
        update(jobs).where(jobs.c.id == job_id, begun, ~jobs.c.cancel_requested, ~jobs.c.accept_requested),
        accept_requested=True,
    )


def refine(job_id: UUID, generation: Generation, max_queued: int | None = None) -> Moved:
    """succeeded -> queued, to resume from the checkpoints by ``generation``, which differs from the job's own in when
    to stop. No row if the job is exact, if the checkpoint of an image that is not exact is missing, or if
    ``max_queued`` jobs are queued already.

    The rank is that of a job submitted now. The deadline is removed, as the job has met it. Images that are not exact
    are unfinished again, and none of their iterates is final. If the job fails or is canceled then, the iterates that
    were final become final again. The caller must have locked the job's row (``reads.job(...).with_for_update()``).
    Otherwise the checkpoints could be pruned at the same time, and the job would start over.
    """
    unfinished = and_(images.c.job_id == job_id, images.c.stopped != "exact")
    saved = select(checkpoints.c.image).where(checkpoints.c.job_id == job_id)
    lost = select(images.c.number).where(unfinished, images.c.number.not_in(saved))
    refinable = and_(jobs.c.id == job_id, jobs.c.state == "succeeded", jobs.c.stopped != "exact", ~lost.exists())
    moved = _moved(
        update(jobs).where(refinable, _room(max_queued)),
        state="queued",
        rank_at=queue_order.rank(jobs.c.priority),
        deadline_at=None,
        generation=generation.model_dump(),
        stopped=None,
        finished_at=None,
        sent_at=None,
        crashes=0,
        cancel_requested=False,
        accept_requested=False,
    )
    here = select(moved.c.id)
    # The plan covered the run that has ended.
    again = {"stopped": None, "predicted_rounds": None, "predicted_evaluations": None}
    open_again = update(images).where(unfinished, images.c.job_id.in_(here)).values(again)
    not_final = update(iterates).where(
        iterates.c.job_id.in_(here), iterates.c.image.in_(select(images.c.number).where(unfinished))
    )
    return _with_event(moved).add_cte(open_again.cte("open_again"), not_final.values(final=False).cte("not_final"))


def rescue(max_crashes: int, limit: int = 100) -> Moved:
    """End the lease of running jobs that has expired: a job is canceled if that was requested, fails at the
    ``max_crashes``-th time in a row without progress, and is otherwise queued again, unsent. Progress is a new iterate:
    a job that goes on is not what kills workers. At most ``limit`` jobs, those that expired first. Several janitors can
    do this at once."""
    expired = (
        select(jobs.c.id)
        .where(jobs.c.state == "running", jobs.c.lease_expires_at < func.now())
        .order_by(jobs.c.lease_expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("expired")
    )
    new = and_(iterates.c.job_id == jobs.c.id, iterates.c.created_at > jobs.c.claimed_at)
    went_on = select(iterates.c.iterate).where(new).correlate(jobs).exists()
    crashes = case((went_on, 0), else_=jobs.c.crashes + 1)
    asked, poison = jobs.c.cancel_requested, crashes >= max_crashes
    reason = func.format("the worker died %s times while it ran this job, which is not tried again", crashes)
    return _ending(
        update(jobs).where(jobs.c.id.in_(select(expired.c.id))),
        **LEFT,
        crashes=crashes,
        state=case((asked, "canceled"), (poison, "failed"), else_="queued"),
        error=case((and_(poison, ~asked), reason)),
        failure=case((and_(poison, ~asked), "crashes")),
        finished_at=case((or_(asked, poison), func.now())),
        sent_at=None,
    )


def shorten_leases(lease_seconds: float) -> ReturningUpdate[UUID]:
    """End the leases that are longer than any claim or heartbeat makes them: the database's clock was set back. Workers
    that live renew theirs long before. Returns the ids of the jobs. No event."""
    longest = _from_now(lease_seconds)
    long = update(jobs).where(jobs.c.state == "running", jobs.c.lease_expires_at > longest)
    return long.values(lease_expires_at=longest).returning(jobs.c.id)


def expire(limit: int = 100) -> Moved:
    """Fail the jobs whose deadline has passed; cancel those whose cancellation was requested. At most ``limit`` jobs,
    the most overdue first. An accepted job is about to end, and is left alone."""
    late = (
        select(jobs.c.id)
        .where(
            jobs.c.deadline_at <= func.now(),
            or_(jobs.c.state == "queued", and_(jobs.c.state == "running", ~jobs.c.accept_requested)),
        )
        .order_by(jobs.c.deadline_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("late")
    )
    asked = jobs.c.cancel_requested
    return _ending(
        update(jobs).where(jobs.c.id.in_(select(late.c.id))),
        **LEFT,
        state=case((asked, "canceled"), else_="failed"),
        error=case((~asked, OVERDUE)),
        failure=case((~asked, "deadline")),
        finished_at=func.now(),
    )


def delete(job_id: UUID) -> ReturningDelete[UUID, Sequence[str]]:
    """Delete a finished job with all its data. Returns (id, digests of its pictures and checkpoints), and no row if
    the job is not finished or does not exist. The caller commits, and then deletes the pictures."""
    finished = and_(jobs.c.id == job_id, jobs.c.state.in_(TERMINAL))
    return delete_from(jobs).where(finished).returning(jobs.c.id, etags_of_job())


def held(job_id: UUID | BindParameter[UUID], attempt: int | BindParameter[int]) -> ColumnElement[bool]:
    """The fence: true if the job still runs under ``attempt``. Every write of a worker has this condition."""
    return and_(jobs.c.id == job_id, jobs.c.state == "running", jobs.c.attempt == attempt)


@cache
def _claim() -> Moved:
    return _with_event(_claimed(jobs.c.id == bindparam("job", type_=jobs.c.id.type)))


@cache
def _claim_next(max_running: int | None) -> Select[Job, Image]:
    moved = _claimed(and_(jobs.c.id.in_(select(queue_order.first(max_running).c.id)), queue_order.fits()))
    job = aliased(Job, moved)
    row = select(job, Image).join(Image, Image.job_id == moved.c.id).order_by(Image.number)
    return row.add_cte(*_event(moved))


def _claimed(which: ColumnElement[bool]) -> CTE:
    return _moved(
        update(jobs).where(which, jobs.c.state == "queued"),
        state="running",
        worker=bindparam("worker_name", type_=jobs.c.worker.type),
        attempt=jobs.c.attempt + 1,
        lease_expires_at=func.now() + bindparam("lease", type_=Interval()),
        claimed_at=func.now(),
        started_at=func.coalesce(jobs.c.started_at, func.now()),
    )


@cache
def _submission(max_queued: int | None) -> Submission:
    # Built once: SQLAlchemy needs longer to build it than PostgreSQL to run it, which delays a burst of submissions.
    def given(name: str) -> BindParameter[Any]:
        return bindparam(name, type_=jobs.c[name].type)

    values: dict[str, ColumnElement[Any]] = {
        "id": given("id"),
        "state": literal("queued", jobs.c.state.type),
        "model": given("model"),
        "generation": given("generation"),
        "seq": literal(1, jobs.c.seq.type),
        "key_id": given("key_id"),
        "request_id": given("request_id"),
        "traceparent": given("traceparent"),
        "priority": given("priority"),
        "rank_at": queue_order.rank(given("priority")),
        "deadline_at": func.now() + bindparam("deadline", type_=Interval()),
        "webhook": bindparam("webhook", type_=JSONB(none_as_null=True)),
        "warnings": bindparam("warnings", type_=JSONB()),
    }
    row = select(*values.values()).where(_room(max_queued))
    job = insert(jobs).from_select([*values], row).returning(*jobs.c).cte("moved")
    numbers = func.generate_series(0, bindparam("last", type_=Integer())).table_valued("number").render_derived()
    seeds = bindparam("seed", type_=BigInteger()) + numbers.c.number
    pictures = insert(images).from_select(
        ["job_id", "number", "seed"], select(job.c.id, numbers.c.number, seeds).join(numbers, true())
    )
    return _with_event(job).add_columns(job.c.created_at, job.c.deadline_at).add_cte(pictures.cte("pictures"))


def _room(max_queued: int | None) -> ColumnElement[bool]:
    """Whether fewer jobs than this are queued."""
    if max_queued is None:
        return true()
    return ~select(jobs.c.id).where(jobs.c.state == "queued").offset(max_queued - 1).limit(1).exists()


def _end(job_id: UUID, attempt: int, **values: Any) -> Moved:
    return _ending(update(jobs).where(held(job_id, attempt)), **LEFT, finished_at=func.now(), **values)


def _move(job: Update, **values: Any) -> Moved:
    return _with_event(_moved(job, **values))


def _ending(job: Update, **values: Any) -> Moved:
    """A move that may end the job. It deletes the checkpoints that no run can resume from. If a refinement has failed,
    the iterates that were final before it become final again."""
    moved = _moved(job, **values)
    return _with_event(moved).add_cte(_spent(moved).cte("spent"), _final_again(moved).cte("final_again"))


def _moved(job: Update, **values: Any) -> CTE:
    return job.values(seq=jobs.c.seq + 1, updated_at=func.now(), **values).returning(*jobs.c).cte("moved")


def _with_event(job: CTE) -> Moved:
    moved = select(job.c.id, job.c.seq, job.c.state, job.c.attempt)
    return moved.add_cte(*_event(job))


def _event(job: CTE) -> tuple[CTE, CTE]:
    """Record the move."""
    data = func.jsonb_build_object(
        *("state", job.c.state, "stopped", job.c.stopped, "error", job.c.error, "failure", job.c.failure),
        *("cancel_requested", job.c.cancel_requested, "accept_requested", job.c.accept_requested),
    )
    return record_event(job, case((job.c.state.in_(TERMINAL), "done"), else_="state"), data)


def _spent(job: CTE) -> Delete:
    refinable = and_(job.c.state == "succeeded", job.c.stopped != "exact")
    finished = select(job.c.id).where(job.c.state.in_(TERMINAL), ~refinable)
    exact = select(images.c.job_id, images.c.number).where(
        images.c.job_id.in_(select(job.c.id).where(refinable)), images.c.stopped == "exact"
    )
    return delete_from(checkpoints).where(
        or_(checkpoints.c.job_id.in_(finished), tuple_(checkpoints.c.job_id, checkpoints.c.image).in_(exact))
    )


def _final_again(job: CTE) -> Update:
    fruitless = select(job.c.id).where(job.c.state.in_(("failed", "canceled")))
    before = select(images.c.job_id, images.c.number, images.c.final).where(
        images.c.job_id.in_(fruitless), images.c.stopped.is_(None), images.c.final.is_not(None)
    )
    place = tuple_(iterates.c.job_id, iterates.c.image, iterates.c.iterate)
    return update(iterates).where(iterates.c.job_id.in_(fruitless), place.in_(before)).values(final=True)


def _from_now(seconds: float) -> ColumnElement[Any]:
    return func.now() + literal(timedelta(seconds=seconds))
