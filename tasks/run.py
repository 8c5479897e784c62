"""Jobs, one after another: claim one, have its images computed, end it."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from time import time_ns
from typing import Any, Literal, NamedTuple
from uuid import UUID

from celery.utils.log import get_task_logger
from sqlalchemy import Row
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_result, wait_exponential

from contract.fields import Generation
from contract.words import State, Stopped
from store import figures, inputs, logs, moves, queue_order, saves, tracing, wakeups
from store.pictures import PictureId, Pictures
from store.saves import LeaseLost
from store.tables import Image, Job
from tasks import routing
from tasks.dispatch import pass_on, send
from tasks.images import Images, Stored
from tasks.leases import Lease, Stop
from tasks.metrics import JobTimes
from tasks.originals import InputMissing, original, references
from tasks.outages import GaveUp, transact
from tasks.routing import Other
from tasks.worker import Worker

# A job may be locked for some milliseconds, for example while the API marks it as sent.
LOOKS, FIRST_PAUSE, LONGEST_PAUSE = 100, 0.002, 0.02  # s

log = get_task_logger(__name__)


class Ended(NamedTuple):
    """A row of `figures.ends`."""

    state: State
    stopped: Stopped | None
    failure: str | None
    model: str


# Why nothing was claimed: another transaction has locked what there is, other workers are to run it, or there is none.
Unclaimed = Literal["locked", "elsewhere", "none"]


class Claimed(NamedTuple):
    """A job that this worker has claimed, and its images."""

    lease: Lease
    job: Job
    images: Sequence[Image]


def work(worker: Worker) -> None:
    """Run jobs one after another, until there is none to claim or this process ends.

    However many calls there are, in any process, each job runs once, since one of its claims succeeds.
    """
    while not worker.leases.closing:
        try:
            began = time_ns()
            claimed = _claim(worker)
            if claimed is None:
                return
            lease = claimed.lease
            with (
                logs.bound(job_id=str(lease.job_id), attempt=lease.attempt, worker=worker.name),
                tracing.span(f"generate_content {claimed.job.model}", _about(claimed), claimed.job.traceparent),
            ):
                tracing.record("claim", began, time_ns(), worker=worker.name)
                state = _run(worker, claimed)
            if state == "queued":
                return  # handed back and sent: the worker that claims it goes on with the others
        except GaveUp as error:
            log.error("left to the janitor: %s", error)
            return
    # Another worker must claim what this thread would have claimed next.
    pass_on()


def _about(claimed: Claimed) -> dict[str, Any]:
    """What a trace says of a run, in the words of OpenTelemetry's conventions for generative AI if they have one. Not
    the prompt."""
    job = claimed.job
    return {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "underpaint",
        "gen_ai.output.type": "image",
        "gen_ai.request.model": job.model,
        "gen_ai.request.choice.count": len(claimed.images),
        "gen_ai.request.seed": claimed.images[0].seed,
        "underpaint.job": str(job.id),
        "underpaint.attempt": job.attempt,
    }


def _claim(worker: Worker) -> Claimed | None:
    looks = Retrying(
        retry=retry_if_result(lambda found: found == "locked"),
        wait=wait_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
        stop=lambda look: look.attempt_number >= LOOKS or worker.leases.closing,
        retry_error_callback=lambda _: "locked",
    )
    found = looks(_look, worker, routing.others(worker))
    if isinstance(found, str):
        if found == "elsewhere":
            routing.leave(worker)
        return None
    wakeups.publish(worker.redis, found.job.id, found.job.seq)
    return found


def _look(worker: Worker, others: Mapping[str, Other]) -> Claimed | Unclaimed:
    with worker.leases.claiming() as held:
        return _claim_first(worker, held, others)


def _claim_first(worker: Worker, held: list[UUID], others: Mapping[str, Other]) -> Claimed | Unclaimed:
    most = worker.jobs.max_running_per_key
    # The last try of a job runs alone, so that no other job can bring the worker down. A thread that finds no job
    # because of that returns; the threads that run the other jobs look again when these have ended.
    last_try = queue_order.LastTry(worker.jobs.max_crashes - 1, held)

    def claim(session: Session) -> Sequence[Row[Job, Image]] | Unclaimed:
        session.execute(queue_order.claims())
        models, elsewhere = routing.route(worker, session, others)
        turn = moves.claim_next(worker.name, worker.jobs.lease_seconds, last_try, most, models)
        if rows := session.execute(turn).all():
            return rows
        if session.scalar(queue_order.left(worker.name, last_try, most, models)):
            return "locked"
        if elsewhere and session.scalar(queue_order.waits(queue_order.Models(elsewhere), most)):
            return "elsewhere"
        return "none"

    # Nothing is claimed yet: when PostgreSQL is back, the janitor sends a message.
    found = transact(worker.sessions, claim, hopeless=lambda: worker.leases.closing, what="claim")
    if isinstance(found, str):
        return found
    job = found[0][0]
    return Claimed(worker.leases.take(job.id, job.attempt), job, [image for _, image in found])


def _run(worker: Worker, claimed: Claimed) -> State | None:
    """Run a job until it has ended, is handed back or is lost. Returns its state; None if it is lost."""
    lease = claimed.lease
    worker.metrics.claimed.inc()
    log.info("job %s claimed, attempt %d", lease.job_id, lease.attempt)
    try:
        with worker.leases.holding(lease):
            state = _end(worker, lease, _compute(worker, claimed))
    finally:
        worker.pictures.delete(lease.checkpoints)  # those that no row refers to any more
    if state is None:
        worker.metrics.leases_lost.inc()
        log.warning("job %s is no longer this worker's: stopped, nothing written", lease.job_id)
        return None
    if state == "queued":
        worker.metrics.handed_back.inc()
        log.info("job %s handed back", lease.job_id)
        send(worker.sessions, [lease.job_id])
    else:
        log.info("job %s %s", lease.job_id, state)
    return state


def _compute(worker: Worker, claimed: Claimed) -> moves.Moved | None:
    """Compute the rest of the job. Returns the move that ends this run; None if the lease is lost."""
    lease, job, images = claimed
    job_id, attempt = lease.job_id, lease.attempt
    try:
        left = worker.save(lease, lambda session: _left(session, worker.pictures, job_id)) if attempt > 1 else None
        again, checkpoints = left or (False, {})
        lease.checkpoints |= {PictureId(job_id, sha256(found.data).hexdigest()) for found in checkpoints.values()}
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
        given: Mapping[str, bytes] = {}
        if generation.image is not None or generation.references:
            given = worker.save(lease, lambda session: inputs.load(session, worker.pictures, job_id))
        begins, looks_at = original(generation, given), references(generation, given)
        stored = Stored(images, checkpoints)
        results = Images(worker, lease, job, stored, worker.engines.get(card), times, begins, looks_at).compute()
    except InputMissing as error:
        return moves.fail(job_id, attempt, str(error), "model")
    except LeaseLost:
        return None
    except GaveUp:
        raise
    except Exception as error:
        log.error("job %s failed in the worker: %s", job_id, logs.where(error))
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


def _left(session: Session, pictures: Pictures, job_id: UUID) -> tuple[bool, Mapping[int, saves.SavedCheckpoint]]:
    """The results of earlier runs: whether the job is being refined, and its checkpoints."""
    return bool(session.scalar(figures.refined(job_id))), saves.load_checkpoints(session, pictures, job_id)


def _end(worker: Worker, lease: Lease, move: moves.Moved | None) -> State | None:
    def end(session: Session) -> tuple[int, Ended] | None:
        row = None if move is None else session.execute(move).one_or_none()
        return None if row is None else (row.seq, Ended(*session.execute(figures.ends([lease.job_id])).one()))

    saved = worker.save(lease, end)
    if saved is None:
        return None
    seq, ended = saved
    worker.metrics.ends.count(*ended)
    wakeups.publish(worker.redis, lease.job_id, seq)
    return ended.state
