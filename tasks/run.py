"""One job: claim it, have its images computed, end it."""

from typing import NamedTuple
from uuid import UUID

from celery.utils.log import get_task_logger
from sqlalchemy.orm import Session

from store import figures, logs, moves, reads, wakeups
from store.generation import Generation
from store.saves import LeaseLost
from store.tables import Job, State, Stopped
from tasks.images import Images
from tasks.leases import Lease, Stop
from tasks.metrics import JobTimes
from tasks.sending import send
from tasks.transactions import GaveUp, transact
from tasks.worker import Worker

log = get_task_logger(__name__)


class Ended(NamedTuple):
    """What `figures.ends` tells."""

    state: State
    stopped: Stopped | None
    failure: str | None
    model: str


class Moved(NamedTuple):
    """What a move returns, see `store.moves`."""

    id: UUID
    seq: int
    state: State
    attempt: int


def run(worker: Worker, job_id: UUID) -> None:
    """Run a job until it has ended, is handed back or is lost. Does nothing with a job that cannot be claimed.

    Any number of calls for one job, anywhere, at once or later, make one run: its claim lets one of them through.
    """
    if worker.leases.closing:
        # A worker that shuts down may get one more message, even that of a job that it has just handed back.
        send(worker.sessions, [job_id])
        return
    try:
        claimed = _claim(worker, job_id)
        if claimed is None:
            log.info("job %s is not queued: this message came twice, or the job was canceled", job_id)
            return
        logs.bind(attempt=claimed.attempt)
        worker.metrics.claimed.inc()
        log.info("job %s claimed, attempt %d", job_id, claimed.attempt)
        with worker.leases.hold(job_id, claimed.attempt) as lease:
            ended = _end(worker, lease, _compute(worker, lease))
    except GaveUp as error:
        log.error("job %s is left to the janitor: %s", job_id, error)
        return
    if ended is None:
        worker.metrics.leases_lost.inc()
        log.warning("job %s is no longer this worker's: stopped, nothing written", job_id)
    elif ended.state == "queued":
        worker.metrics.handed_back.inc()
        log.info("job %s handed back", job_id)
        send(worker.sessions, [job_id])
    else:
        log.info("job %s %s", job_id, ended.state)


def _claim(worker: Worker, job_id: UUID) -> Moved | None:
    claim = moves.claim(job_id, worker.name, worker.jobs.lease_seconds)
    row = transact(
        worker.sessions,
        lambda session: session.execute(claim).one_or_none(),
        # It is not ours yet: once PostgreSQL is back, the janitor sends it again.
        hopeless=lambda: worker.leases.closing,
        what=f"claim of job {job_id}",
    )
    return _told(worker, Moved(*row)) if row else None


def _compute(worker: Worker, lease: Lease) -> moves.Moved | None:
    """Compute what is left of the job. Returns the move that ends this run; None where the lease is lost."""
    job_id, attempt = lease.job_id, lease.attempt
    try:
        job, again = worker.save(lease, lambda session: _read(session, job_id))
        generation = Generation.model_validate(job.generation)
        card = worker.catalog.get(generation.model)
        if card is None:
            known = ", ".join(worker.catalog)
            return moves.fail(job_id, attempt, f"model {generation.model} is not in this worker's catalogue ({known})")
        if job.request_id is not None:
            logs.bind(request_id=job.request_id)
        age = (job.updated_at - job.created_at).total_seconds()  # by the clock of the database, at the claim
        if job.attempt == 1:
            worker.metrics.queue_wait.labels(job.model, job.priority).observe(age)
        times = JobTimes(worker.metrics, job.model, generation.method, None if again else age)
        results = Images(worker, lease, generation, worker.engines.get(card), times).compute()
    except LeaseLost:
        return None
    except GaveUp:
        raise
    except Exception as error:
        log.exception("job %s failed in the worker", job_id)
        return moves.fail(job_id, attempt, f"the worker failed: {type(error).__name__}: {error}")
    if lease.stop is Stop.LOST:
        return None
    if results.complete and results.errors:
        return moves.fail(job_id, attempt, results.error)
    if results.complete:
        return moves.succeed(job_id, attempt, results.least_exact)
    return (moves.canceled if lease.stop is Stop.CANCELED else moves.release)(job_id, attempt)


def _read(session: Session, job_id: UUID) -> tuple[Job, bool]:
    """The job, and whether it is refined."""
    job = session.scalars(reads.job(job_id)).one()
    return job, job.attempt > 1 and bool(session.scalar(figures.refined(job_id)))


def _end(worker: Worker, lease: Lease, move: moves.Moved | None) -> Moved | None:
    def end(session: Session) -> tuple[Moved, Ended] | None:
        row = None if move is None else session.execute(move).one_or_none()
        return None if row is None else (Moved(*row), Ended(*session.execute(figures.ends([lease.job_id])).one()))

    ended = worker.save(lease, end)
    if ended is None:
        return None
    worker.metrics.ends.count(*ended[1])
    return _told(worker, ended[0])


def _told(worker: Worker, moved: Moved) -> Moved:
    wakeups.publish(worker.redis, moved.id, moved.seq)
    return moved
