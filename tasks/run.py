"""Jobs, one after another: claim one, have its images computed, end it."""

from time import sleep
from typing import Literal, NamedTuple
from uuid import UUID

from celery.utils.log import get_task_logger
from sqlalchemy.orm import Session

from store import figures, logs, moves, order, reads, saves, wakeups
from store.generation import Generation
from store.saves import LeaseLost
from store.tables import Job, State, Stopped
from tasks.images import Images, Stored
from tasks.leases import Lease, Stop
from tasks.metrics import JobTimes
from tasks.sending import pass_on, send
from tasks.transactions import GaveUp, transact
from tasks.worker import Worker

# A job that is locked just now, as while the API marks as sent what a worker was called for, is free in milliseconds.
LOOKS, FIRST_PAUSE, LONGEST_PAUSE = 100, 0.002, 0.02  # s

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


def work(worker: Worker) -> None:
    """Run jobs one after another, until there is none to claim or this process ends.

    Any number of calls, anywhere, at once or later, run each job once: its claim lets one of them through.
    """
    while not worker.leases.closing:
        try:
            lease = _claim(worker)
            if lease is None:
                return
            with logs.bound(job_id=str(lease.job_id), attempt=lease.attempt, worker=worker.name):
                state = _run(worker, lease)
            if state == "queued":
                return  # handed back and sent: whoever takes it goes on with the others
        except GaveUp as error:
            log.error("left to the janitor: %s", error)
            return
    # Whatever this thread would have claimed next, or was called for just now, is somebody else's.
    pass_on()


def _claim(worker: Worker) -> Lease | None:
    pause = FIRST_PAUSE
    for _ in range(LOOKS):
        with worker.leases.claiming() as held:
            claimed = _look(worker, held)
            lease = worker.leases.take(claimed.id, claimed.attempt) if isinstance(claimed, Moved) else None
        if isinstance(claimed, Moved):
            _told(worker, claimed)
            return lease
        if claimed == "none" or worker.leases.closing:
            break
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return None


def _look(worker: Worker, held: list[UUID]) -> Moved | Literal["locked", "none"]:
    most = worker.jobs.max_running_per_key
    # The last try of a job is its own: what brings the worker down then is nobody else's fault. A thread that finds
    # nothing because of it leaves the job to those that hold the others: they look again when they have ended.
    last_try = order.LastTry(worker.jobs.max_crashes - 1, held)

    def claim(session: Session) -> Moved | Literal["locked", "none"]:
        session.execute(order.claims())
        turn = moves.claim(None, worker.name, worker.jobs.lease_seconds, last_try, most)
        row = session.execute(turn).one_or_none()
        if row:
            return Moved(*row)
        return "locked" if session.scalar(order.left(worker.name, last_try, most)) else "none"

    # None is ours yet: once PostgreSQL is back, the janitor calls again.
    return transact(worker.sessions, claim, hopeless=lambda: worker.leases.closing, what="claim")


def _run(worker: Worker, lease: Lease) -> State | None:
    """Run a job until it has ended, is handed back or is lost. Returns its state; None where it is lost."""
    worker.metrics.claimed.inc()
    log.info("job %s claimed, attempt %d", lease.job_id, lease.attempt)
    with worker.leases.holding(lease):
        ended = _end(worker, lease, _compute(worker, lease))
    if ended is None:
        worker.metrics.leases_lost.inc()
        log.warning("job %s is no longer this worker's: stopped, nothing written", lease.job_id)
        return None
    if ended.state == "queued":
        worker.metrics.handed_back.inc()
        log.info("job %s handed back", lease.job_id)
        send(worker.sessions, [lease.job_id])
    else:
        log.info("job %s %s", lease.job_id, ended.state)
    return ended.state


def _compute(worker: Worker, lease: Lease) -> moves.Moved | None:
    """Compute what is left of the job. Returns the move that ends this run; None where the lease is lost."""
    job_id, attempt = lease.job_id, lease.attempt
    try:
        job, again, stored = worker.save(lease, lambda session: _read(session, job_id))
        if job.request_id is not None:
            logs.bind(request_id=job.request_id)
        generation = Generation.model_validate(job.generation)
        card = worker.catalog.get(generation.model)
        if card is None:
            known = ", ".join(worker.catalog)
            error = f"model {generation.model} is not in this worker's catalogue ({known})"
            return moves.fail(job_id, attempt, error, "model")
        age = (job.updated_at - job.created_at).total_seconds()  # by the clock of the database, at the claim
        if job.attempt == 1:
            worker.metrics.queue_wait.labels(job.model, job.priority).observe(age)
        times = JobTimes(worker.metrics, job.model, generation.method, None if again else age)
        results = Images(worker, lease, job, stored, worker.engines.get(card), times).compute()
    except LeaseLost:
        return None
    except GaveUp:
        raise
    except Exception as error:
        log.exception("job %s failed in the worker", job_id)
        return moves.fail(job_id, attempt, f"the worker failed: {type(error).__name__}: {error}", "worker")
    if lease.stop is Stop.LOST:
        return None
    if results.complete and results.errors:
        return moves.fail(job_id, attempt, results.error, "model")
    if results.complete:
        return moves.succeed(job_id, attempt, results.least_exact)
    if lease.stop is Stop.OVERDUE:
        return moves.fail(job_id, attempt, moves.OVERDUE, "deadline")
    return (moves.canceled if lease.stop is Stop.CANCELED else moves.release)(job_id, attempt)


def _read(session: Session, job_id: UUID) -> tuple[Job, bool, Stored]:
    """The job, whether it is refined, and where its images stand."""
    job = session.scalars(reads.job(job_id)).one()
    again = job.attempt > 1 and bool(session.scalar(figures.refined(job_id)))
    checkpoints = saves.load_checkpoints(session, job_id) if job.attempt > 1 else {}
    return job, again, Stored(session.scalars(reads.images([job_id])).all(), checkpoints)


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
