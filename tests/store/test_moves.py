"""Every move, from every state: where it is legal, what it leaves behind, and that it is refused everywhere else."""

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, func, null, select, update
from sqlalchemy.exc import IntegrityError

from contract.fields import MAX_SEED, Handling
from contract.words import Stopped
from store import moves, queue_order, retention, saves
from store.catalog import load_catalog
from store.queue_order import LastTry
from store.settings import SHIPPED_CATALOG
from store.tables import Checkpoint, Event, Image, Iterate, Job, jobs
from tests.store.conftest import Driver
from tests.until import PATIENCE

STATES = ("queued", "running", "succeeded", "failed", "canceled")

TIGHTER = load_catalog(SHIPPED_CATALOG).resolve({"prompt": "red heart", "seed": 7, "tolerance": 0.001})

MOVES: dict[str, Callable[[UUID], Any]] = {
    "claim": lambda job: moves.claim(job, "other", 15),
    "release": lambda job: moves.release(job, 1),
    "succeed": lambda job: moves.succeed(job, 1, "converged"),
    "fail": lambda job: moves.fail(job, 1, "broken"),
    "canceled": lambda job: moves.canceled(job, 1),
    "cancel": moves.cancel,
    "accept": moves.accept,
    "refine": lambda job: moves.refine(job, TIGHTER),
}

LEGAL = {
    ("queued", "claim"): "running",
    ("queued", "cancel"): "canceled",
    ("running", "release"): "queued",
    ("running", "succeed"): "succeeded",
    ("running", "fail"): "failed",
    ("running", "canceled"): "canceled",
    ("running", "cancel"): "running",
    ("running", "accept"): "running",
    ("succeeded", "refine"): "queued",
}


def in_state(driver: Driver, state: str) -> UUID:
    if state == "queued":
        return driver.submit()
    job_id = driver.claimed()
    if state != "running":
        driver.save(job_id, final=True)
        driver.do(MOVES[{"succeeded": "succeed", "failed": "fail", "canceled": "canceled"}[state]](job_id))
    assert driver.job(job_id).state == state
    return job_id


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("state", STATES)
def test_move_is_legal_or_changes_nothing(driver: Driver, state: str, move: str):
    job_id = in_state(driver, state)
    before, events = driver.job(job_id).seq, driver.events(job_id)
    moved = driver.do(MOVES[move](job_id))

    after = driver.job(job_id)
    if (state, move) in LEGAL:
        assert (moved.id, moved.seq, moved.state, moved.attempt) == (job_id, before + 1, after.state, after.attempt)
        assert after.state == LEGAL[state, move]
        newest = driver.events(job_id)[-1]
        assert newest.seq == after.seq == before + 1
        assert newest.kind == ("done" if after.finished_at else "state")
        assert newest.data == {
            "state": after.state,
            "stopped": after.stopped,
            "error": after.error,
            "failure": after.failure,
            "cancel_requested": after.cancel_requested,
            "accept_requested": after.accept_requested,
        }
    else:
        assert moved is None
        assert (after.state, after.seq) == (state, before)
        assert driver.events(job_id) == events


def test_submit_makes_the_job_its_images_and_its_event(driver: Driver):
    job_id = uuid4()
    request = driver.generation(images=3, seed=MAX_SEED - 2)
    moved = driver.do(moves.submit(job_id, request))
    job = driver.job(job_id)
    assert tuple(moved) == (job_id, 1, "queued", 0, job.created_at, None)
    assert type(request).model_validate(job.generation) == request
    assert (job.model, job.crashes, job.cancel_requested, job.sent_at, job.worker) == ("emoji", 0, False, None, None)
    assert driver.session.scalar(select(Job.webhook.is_(null())).where(Job.id == job_id))
    seeds = select(Image.number, Image.seed, Image.iterate, Image.rounds).where(Image.job_id == job_id)
    assert driver.session.execute(seeds.order_by(Image.number)).all() == [
        (number, MAX_SEED - 2 + number, None, 0) for number in range(3)
    ]
    (event,) = driver.events(job_id)
    assert (event.seq, event.kind, event.data["state"]) == (1, "state", "queued")


def test_claim_leases_the_job_by_the_clock_of_the_database(driver: Driver):
    job_id = driver.submit()
    driver.do(moves.claim(job_id, "worker", 15))
    job = driver.job(job_id)
    assert job.lease_expires_at
    assert job.claimed_at
    assert job.lease_expires_at - job.claimed_at == timedelta(seconds=15)
    since = driver.session.scalar(select(func.extract("epoch", func.now() - Job.claimed_at)))
    assert 0 <= (since or -1) < PATIENCE
    assert (job.worker, job.attempt, job.finished_at) == ("worker", 1, None)
    assert job.started_at


def test_released_job_is_unsent_and_keeps_its_start_and_checkpoint(driver: Driver):
    job_id = driver.claimed()
    driver.save(job_id)
    started = driver.job(job_id).started_at
    driver.do(moves.release(job_id, 1))
    job = driver.job(job_id)
    assert (job.sent_at, job.worker, job.lease_expires_at, job.crashes) == (None, None, None, 0)
    assert driver.do(moves.claim(job_id, "other", 15)).attempt == 2
    assert driver.job(job_id).started_at == started
    assert saves.load_checkpoints(driver.session, driver.pictures, job_id) == {0: (0, b"states")}


ENDS: dict[str, Callable[[UUID], Any]] = {
    "exact": lambda job: moves.succeed(job, 1, "exact"),
    "fail": MOVES["fail"],
    "canceled": MOVES["canceled"],
}


@pytest.mark.parametrize("end", ENDS)
def test_last_move_deletes_the_checkpoints(driver: Driver, end: str):
    job_id = driver.claimed(images=2)
    driver.save(job_id, image=0)
    driver.save(job_id, image=1)
    driver.do(ENDS[end](job_id))
    assert saves.load_checkpoints(driver.session, driver.pictures, job_id) == {}
    assert driver.session.scalar(select(func.count()).select_from(Iterate)) == 2


def test_job_canceled_between_two_workers_keeps_no_checkpoint(driver: Driver):
    job_id = driver.claimed()
    driver.save(job_id)
    driver.do(moves.release(job_id, 1))
    driver.do(moves.cancel(job_id))
    assert saves.load_checkpoints(driver.session, driver.pictures, job_id) == {}


def test_cancel_of_a_running_job_is_asked_once_and_seen_by_its_worker(driver: Driver):
    job_id = driver.claimed()
    assert driver.do(moves.renew("worker", {job_id: 1}, 15)) == (job_id, False, False, False)
    assert driver.do(moves.cancel(job_id)).state == "running"
    assert driver.do(moves.cancel(job_id)) is None
    assert driver.do(moves.accept(job_id)) is None
    assert driver.do(moves.renew("worker", {job_id: 1}, 15)) == (job_id, True, False, False)


def test_acceptance_is_asked_once_and_outlives_the_worker(driver: Driver):
    job_id = driver.claimed()
    assert driver.do(moves.accept(job_id)).state == "running"
    assert driver.do(moves.accept(job_id)) is None
    assert driver.do(moves.renew("worker", {job_id: 1}, 15)) == (job_id, False, True, False)
    driver.do(moves.release(job_id, 1))
    driver.do(moves.claim(job_id, "other", 15))
    assert driver.do(moves.renew("other", {job_id: 2}, 15)) == (job_id, False, True, False)
    assert driver.do(moves.cancel(job_id)).state == "running"  # a later change of mind


def test_job_that_waits_after_a_run_can_be_accepted(driver: Driver):
    job_id = driver.claimed()
    driver.do(moves.release(job_id, 1))
    assert driver.do(moves.accept(job_id)).state == "queued"
    assert driver.job(job_id).accept_requested


LEAST_EXACT_FIRST: tuple[Stopped, ...] = ("max_iterations", "accepted", "converged", "exact")


def finished(driver: Driver, *stopped: Stopped) -> UUID:
    """A succeeded job with two iterates of each image, which stopped for these reasons."""
    job_id = driver.claimed(images=len(stopped))
    plan: Any = {"method": "srds", "blocks": 7, "predicted_rounds": 18, "predicted_evaluations": 96}
    for image, reason in enumerate(stopped):
        saves.start_image(driver.session, job_id, 1, image, **plan)
        driver.save(job_id, image=image, iterate=0)
        driver.save(job_id, image=image, iterate=1, final=True)
        saves.finish_image(driver.session, job_id, 1, image, stopped=reason)
    driver.do(moves.succeed(job_id, 1, min(stopped, key=LEAST_EXACT_FIRST.index)))
    return job_id


def test_refined_job_goes_on_where_it_ended(driver: Driver):
    job_id, other = finished(driver, "exact", "converged", "max_iterations"), finished(driver, "converged")
    assert set(saves.load_checkpoints(driver.session, driver.pictures, job_id)) == {
        1,
        2,
    }  # nothing goes on from what is exact
    driver.do(moves.mark_sent([job_id]))
    moved = driver.do(moves.refine(job_id, TIGHTER))
    assert moved.state == "queued"

    job = driver.job(job_id)
    assert (job.stopped, job.finished_at, job.sent_at, job.attempt) == (None, None, None, 1)
    assert type(TIGHTER).model_validate(job.generation) == TIGHTER
    assert driver.events(job_id)[-1].kind == "state"
    query = select(Image.stopped, Image.blocks, Image.predicted_rounds, Image.iterate).where(Image.job_id == job_id)
    assert driver.session.execute(query.order_by(Image.number)).all() == [
        ("exact", 7, 18, 1),
        (None, 7, None, 1),
        (None, 7, None, 1),
    ]
    finals = select(Iterate.image).where(Iterate.job_id == job_id, Iterate.final)
    assert driver.session.scalars(finals).all() == [0]
    assert set(saves.load_checkpoints(driver.session, driver.pictures, job_id)) == {1, 2}
    assert driver.do(moves.claim(job_id, "worker", 15)).attempt == 2
    assert driver.job(other).state == "succeeded"
    assert driver.session.scalars(select(Image.stopped).where(Image.job_id == other)).all() == ["converged"]


def test_refined_job_forgets_what_was_asked_of_its_former_run(driver: Driver):
    canceled, accepted = (driver.claimed() for _ in range(2))
    driver.do(moves.cancel(canceled))
    driver.do(moves.accept(accepted))
    for job_id in (canceled, accepted):
        driver.expire(job_id)
        driver.do(update(Job).where(Job.id == job_id).values(crashes=1).returning(Job.id))
        driver.save(job_id)
        driver.do(moves.succeed(job_id, 1, "converged"))
        assert driver.do(moves.refine(job_id, TIGHTER))
        job = driver.job(job_id)
        assert (job.cancel_requested, job.accept_requested, job.crashes) == (False, False, 0)


def end_in_vain(driver: Driver, how: str, job_id: UUID) -> None:
    if how == "canceled while queued":
        driver.do(moves.cancel(job_id))
        return
    driver.do(moves.claim(job_id, "worker", 15))
    driver.save(job_id, attempt=2, image=0, iterate=2)
    if how == "handed back, then canceled":
        driver.do(moves.release(job_id, 2))
        driver.do(moves.cancel(job_id))
    elif how == "crashed":
        driver.expire(job_id)
        driver.do(moves.rescue(1))  # it had gone on
        driver.do(moves.claim(job_id, "worker", 15))
        driver.expire(job_id)
        driver.do(moves.rescue(1))
    elif how == "late":
        driver.do(update(Job).where(Job.id == job_id).values(deadline_at=func.now()).returning(Job.id))
        driver.do(moves.expire())
    else:
        driver.do(moves.canceled(job_id, 2) if how == "canceled" else moves.fail(job_id, 2, "broken"))


@pytest.mark.parametrize(
    "how", ["canceled while queued", "handed back, then canceled", "canceled", "failed", "crashed", "late"]
)
def test_refinement_that_came_to_nothing_leaves_the_former_final_picture(driver: Driver, how: str):
    job_id, other = finished(driver, "converged", "exact"), finished(driver, "converged")
    driver.do(moves.refine(job_id, TIGHTER))
    driver.do(moves.refine(other, TIGHTER))
    end_in_vain(driver, how, job_id)
    finals = select(Iterate.image, Iterate.iterate).where(Iterate.job_id == job_id, Iterate.final)
    assert driver.session.execute(finals.order_by(Iterate.image)).all() == [(0, 1), (1, 1)]
    assert driver.session.scalars(select(Image.final).where(Image.job_id == job_id)).all() == [1, 1]
    still = select(Iterate.iterate).where(Iterate.job_id == other, Iterate.final)
    assert driver.session.scalars(still).all() == []


def test_refinement_that_failed_keeps_what_it_has_finished(driver: Driver):
    job_id = finished(driver, "converged", "converged")
    driver.do(moves.refine(job_id, TIGHTER))
    driver.do(moves.claim(job_id, "worker", 15))
    driver.save(job_id, attempt=2, image=0, iterate=2, final=True)
    saves.finish_image(driver.session, job_id, 2, 0, stopped="converged")
    driver.do(moves.fail(job_id, 2, "image 1 is broken"))
    finals = select(Iterate.image, Iterate.iterate).where(Iterate.job_id == job_id, Iterate.final)
    assert driver.session.execute(finals.order_by(Iterate.image)).all() == [(0, 2), (1, 1)]


def ran(driver: Driver, job_id: UUID, seconds: float) -> None:
    """Let the current run of a job have begun so long ago."""
    begun = Job.claimed_at - timedelta(seconds=seconds)
    driver.do(update(Job).where(Job.id == job_id).values(claimed_at=begun).returning(Job.id))


def test_pauses_are_not_running_time(driver: Driver):
    job_id = driver.claimed()
    ran(driver, job_id, 100)
    driver.save(job_id, iterate=0)
    driver.do(moves.release(job_id, 1))
    waited = update(Job).where(Job.id == job_id).values(claimed_at=Job.claimed_at - timedelta(hours=1))
    driver.do(waited.returning(Job.id))
    assert driver.job(job_id).ran_seconds == pytest.approx(100, abs=20)
    driver.do(moves.claim(job_id, "worker", 15))
    driver.save(job_id, attempt=2, iterate=1, final=True)
    driver.do(moves.succeed(job_id, 2, "converged"))
    driver.do(moves.refine(job_id, TIGHTER))
    driver.do(moves.cancel(job_id))
    elapsed = driver.session.scalars(select(Iterate.elapsed).order_by(Iterate.iterate)).all()
    assert elapsed == [pytest.approx(100, abs=20), pytest.approx(100, abs=20)]
    assert driver.job(job_id).ran_seconds == pytest.approx(100, abs=20)


def with_deadline(driver: Driver, seconds: float = 3600) -> UUID:
    job_id = uuid4()
    driver.do(moves.submit(job_id, driver.generation(), Handling(deadline_seconds=seconds)))
    return job_id


def test_jobs_fail_at_their_deadline_and_keep_their_pictures(driver: Driver):
    queued, running, accepted, canceled, early = (with_deadline(driver) for _ in range(5))
    for job_id in (running, accepted, canceled):
        driver.do(moves.claim(job_id, "worker", 15))
        driver.save(job_id)
    driver.do(moves.accept(accepted))
    driver.do(moves.cancel(canceled))
    assert driver.session.execute(moves.expire()).all() == []
    late = update(Job).where(Job.id != early).values(deadline_at=func.now())
    driver.session.execute(late)
    driver.session.commit()
    renewed = driver.session.execute(moves.renew("worker", {running: 1}, 15)).one()
    assert tuple(renewed) == (running, False, False, True)
    driver.session.commit()
    assert {row.id for row in driver.session.execute(moves.expire())} == {queued, running, canceled}
    driver.session.commit()
    for job_id in (queued, running):
        job = driver.job(job_id)
        assert (job.state, job.failure, job.error) == ("failed", "deadline", moves.OVERDUE)
        assert driver.events(job_id)[-1].data["failure"] == "deadline"
    states = [driver.job(job_id).state for job_id in (accepted, canceled, early)]
    assert states == ["running", "canceled", "queued"]
    assert driver.session.scalar(select(func.count()).select_from(Iterate).where(Iterate.job_id == running)) == 1
    assert driver.do(moves.succeed(running, 1, "exact")) is None
    assert driver.do(moves.succeed(accepted, 1, "accepted"))  # it was done in time, but for a moment


def test_refined_job_has_met_its_deadline(driver: Driver):
    job_id = with_deadline(driver)
    driver.do(moves.claim(job_id, "worker", 15))
    driver.save(job_id, final=True)
    driver.do(moves.succeed(job_id, 1, "converged"))
    assert driver.do(moves.refine(job_id, TIGHTER))
    assert driver.job(job_id).deadline_at is None


def test_kinds_of_failure(driver: Driver):
    model, worker, crashed = (driver.claimed() for _ in range(3))
    driver.do(moves.fail(model, 1, "broken", "model"))
    driver.do(moves.fail(worker, 1, "broken"))
    driver.expire(crashed)
    driver.do(moves.rescue(1))
    assert [driver.job(job_id).failure for job_id in (model, worker, crashed)] == ["model", "worker", "crashes"]
    assert driver.job(driver.claimed()).failure is None


def test_old_previews_are_pruned_but_not_the_last_picture(driver: Driver):
    done, stopped, running = finished(driver, "converged"), driver.claimed(), driver.claimed()
    for job_id in (stopped, running):
        driver.save(job_id, iterate=0)
        driver.save(job_id, iterate=1)
    driver.do(moves.canceled(stopped, 1))
    assert driver.session.scalars(retention.prune_previews(3600)).all() == []
    assert set(driver.session.scalars(retention.prune_previews(0))) == {done, stopped}
    driver.session.commit()
    assert driver.session.scalars(retention.prune_previews(0)).all() == []
    kept = select(Iterate.iterate, Iterate.etag.is_not(None), Iterate.picture.is_not(None), Iterate.rounds)
    for job_id in (done, stopped):
        found = driver.session.execute(kept.where(Iterate.job_id == job_id).order_by(Iterate.iterate)).all()
        assert found == [(0, False, False, 9), (1, True, True, 9)]


def test_what_is_exact_cannot_be_refined(driver: Driver):
    assert driver.do(moves.refine(finished(driver, "exact", "exact"), TIGHTER)) is None


def test_refining_takes_every_checkpoint(driver: Driver):
    job_id = finished(driver, "converged", "accepted")
    driver.session.execute(delete(Checkpoint).where(Checkpoint.image == 1))
    assert driver.do(moves.refine(job_id, TIGHTER)) is None


def test_old_checkpoints_of_finished_jobs_are_pruned(driver: Driver):
    old, again, running = finished(driver, "converged", "converged"), finished(driver, "accepted"), driver.claimed()
    driver.save(running)
    driver.do(moves.refine(again, TIGHTER))
    assert driver.session.scalars(retention.prune_checkpoints(3600)).all() == []
    assert driver.session.scalars(retention.prune_checkpoints(0)).all() == [old, old]
    driver.session.commit()
    assert driver.do(moves.refine(old, TIGHTER)) is None
    assert set(driver.session.scalars(select(Checkpoint.job_id))) == {again, running}


def test_job_whose_cancellation_was_asked_for_is_not_queued_again(driver: Driver):
    released, expired = driver.claimed(), driver.claimed()
    for job_id in (released, expired):
        driver.do(moves.cancel(job_id))
    assert driver.do(moves.release(released, 1)).state == "canceled"
    driver.expire(expired)
    assert driver.do(moves.rescue(1)).state == "canceled"
    assert driver.job(expired).error is None
    assert [event.kind for event in driver.events(expired)].count("done") == 1


def test_renew_tells_which_leases_are_left(driver: Driver):
    mine, ended, gone, again = (driver.claimed() for _ in range(4))
    driver.do(moves.succeed(ended, 1, "exact"))
    driver.do(moves.release(gone, 1))
    driver.do(moves.release(again, 1))
    driver.do(moves.claim(again, "worker", 15))
    rows = driver.session.execute(moves.renew("worker", dict.fromkeys((mine, ended, gone, again), 1), 60)).all()
    assert rows == [(mine, False, False, False)]
    assert driver.session.execute(moves.renew("other", {mine: 1}, 60)).all() == []
    assert driver.session.execute(moves.renew("worker", {}, 60)).all() == []


def test_rescue_queues_again_and_gives_up_in_the_end(driver: Driver):
    job_id = driver.claimed()
    driver.do(moves.mark_sent([job_id]))
    assert driver.do(moves.rescue(3)) is None  # the lease still holds
    for crashes in (1, 2):
        driver.expire(job_id)
        moved = driver.do(moves.rescue(3))
        assert (moved.id, moved.state, moved.attempt) == (job_id, "queued", crashes)
        job = driver.job(job_id)
        assert (job.crashes, job.sent_at, job.worker, job.lease_expires_at) == (crashes, None, None, None)
        driver.do(moves.claim(job_id, "worker", 15))
    driver.expire(job_id)
    assert driver.do(moves.rescue(3)).state == "failed"
    job = driver.job(job_id)
    assert job.error == "the worker died 3 times while it ran this job, which is not tried again"
    assert [event.seq for event in driver.events(job_id)] == list(range(1, job.seq + 1))


def test_a_job_that_goes_on_is_not_what_kills_workers(driver: Driver):
    job_id = driver.claimed()
    # Crashes without a new iterate count, those after one start the count again.
    for iterate, crashes, state in [(None, 1, "queued"), (0, 0, "queued"), (None, 1, "queued"), (None, 2, "failed")]:
        attempt = driver.job(job_id).attempt
        if iterate is not None:
            driver.save(job_id, attempt=attempt, iterate=iterate)
        driver.expire(job_id)
        assert driver.do(moves.rescue(2)).state == state
        assert driver.job(job_id).crashes == crashes
        driver.do(moves.claim(job_id, "worker", 15))


def test_the_next_job_is_claimed_with_its_images(driver: Driver):
    claim = moves.claim_next("worker", 15, LastTry(2))
    first, second = driver.submit(images=3), driver.submit()
    for job_id, numbers in ((first, [0, 1, 2]), (second, [0])):
        rows = driver.session.execute(claim).all()
        driver.session.commit()
        assert [image.number for _, image in rows] == numbers
        assert {image.job_id for _, image in rows} == {job_id}
        (job,) = {job for job, _ in rows}
        assert (job.id, job.state, job.attempt, job.worker, job.seq) == (job_id, "running", 1, "worker", 2)
        assert job.generation == driver.job(job_id).generation
        assert [(event.seq, event.kind) for event in driver.events(job_id)] == [(1, "state"), (2, "state")]
    assert driver.session.execute(claim).all() == []


def test_the_last_try_runs_alone(driver: Driver):
    def claim(worker: str) -> UUID | None:
        row = driver.do(moves.claim_next(worker, 15, LastTry(1)))
        return row and row[0].id

    suspect, other = driver.claimed(), driver.claimed()
    driver.expire(suspect)
    driver.do(moves.rescue(2))
    last = driver.submit()
    assert claim("worker") is None  # it runs another one, and gets free for the suspect
    driver.do(moves.succeed(other, 1, "exact"))
    assert claim("worker") == suspect
    assert claim("worker") is None
    assert claim("elsewhere") == last
    driver.do(moves.succeed(suspect, 2, "exact"))
    driver.submit()
    assert claim("worker") is not None


def test_the_last_try_waits_for_what_a_process_still_holds_of_jobs_that_it_has_lost(driver: Driver):
    def claim(*held: UUID) -> UUID | None:
        row = driver.do(moves.claim_next("worker", 15, LastTry(2, held)))
        return row and row[0].id

    def crash(job_id: UUID) -> None:
        driver.do(moves.claim(job_id, "worker", 15))
        driver.expire(job_id)
        driver.do(moves.rescue(3))

    lost, harmless, suspect = driver.claimed(), driver.claimed(), driver.submit()
    for _ in range(2):
        crash(suspect)
    driver.expire(lost)
    driver.do(moves.rescue(3))
    driver.do(moves.claim(lost, "elsewhere", 15))
    driver.do(moves.succeed(harmless, 1, "exact"))
    assert claim(lost) is None
    assert claim(harmless) is None  # ended, but not dropped yet
    driver.do(moves.delete(harmless))
    assert claim(harmless) is None
    assert claim() == suspect
    driver.do(moves.release(suspect, 3))
    driver.do(moves.claim(suspect, "elsewhere", 15))
    other = driver.submit()
    assert claim(suspect) is None  # lost, and still computed beside whatever is claimed
    assert claim(lost) == other  # it has crashed once only


def test_a_job_that_must_wait_for_others_to_end_is_not_left_for_its_worker(driver: Driver):
    suspect, other = driver.claimed(), driver.claimed()
    driver.expire(suspect)
    driver.do(moves.rescue(3))
    for held, crashes, left in (((), 2, True), ((), 1, False), ((other,), 2, True), ((suspect,), 1, False)):
        assert driver.session.scalar(queue_order.left("worker", LastTry(crashes, held))) is left
    assert driver.session.scalar(queue_order.left("elsewhere", LastTry(1)))
    assert not driver.session.scalar(queue_order.left("elsewhere", LastTry(1, (other,))))
    driver.submit()
    assert not driver.session.scalar(queue_order.left("worker", LastTry(1))), "no other goes before it"


def test_rescue_takes_the_oldest_up_to_its_limit(driver: Driver):
    jobs = [driver.claimed() for _ in range(5)]
    for job_id in jobs:
        driver.expire(job_id)
    first = driver.session.execute(moves.rescue(3, limit=3)).all()
    driver.session.commit()
    second = driver.session.execute(moves.rescue(3, limit=3)).all()
    assert {row.id for row in first} == set(jobs[:3])
    assert {row.id for row in second} == set(jobs[3:])


def test_mark_sent_marks_what_is_queued(driver: Driver):
    queued, running = driver.submit(), driver.claimed()
    assert driver.session.scalars(moves.mark_sent([queued, running, uuid4()])).all() == [queued]
    driver.session.commit()
    assert driver.job(queued).sent_at
    assert driver.job(running).sent_at is None
    assert driver.job(queued).seq == 1


@pytest.mark.parametrize("state", STATES)
def test_delete_takes_finished_jobs_with_all_their_data(driver: Driver, state: str):
    other = driver.claimed()
    driver.save(other)
    job_id = in_state(driver, state)
    deleted = driver.do(moves.delete(job_id))
    left = set(driver.session.scalars(select(Job.id)))
    if state in ("queued", "running"):
        assert deleted is None
        assert left == {other, job_id}
    else:
        assert (deleted[0], deleted[1][:1]) == (job_id, [sha256(b"png").hexdigest()])
        assert deleted[1][1:] == [sha256(b"states").hexdigest()] * (state == "succeeded")  # it can be refined
        for column in (Job.id, Image.job_id, Iterate.job_id, Checkpoint.job_id, Event.job_id):
            assert set(driver.session.scalars(select(column))) == {other}


def test_prune_deletes_old_finished_jobs_oldest_first(driver: Driver):
    jobs = [driver.claimed() for _ in range(3)]
    for job_id in jobs:
        driver.do(moves.succeed(job_id, 1, "exact"))
    queued = driver.submit()
    assert driver.session.scalars(retention.prune(3600)).all() == []
    assert set(driver.session.scalars(retention.prune(0, limit=2))) == set(jobs[:2])
    driver.session.commit()
    assert set(driver.session.scalars(select(Job.id))) == {jobs[2], queued}


def test_error_may_hold_any_character(driver: Driver):
    job_id = driver.claimed()
    driver.do(moves.fail(job_id, 1, "broken \0 here: %s 🎨"))
    assert driver.job(job_id).error == "broken  here: %s 🎨"


@pytest.mark.parametrize("values", [{"state": "running"}, {"state": "succeeded"}, {"state": "lost"}, {"error": "x"}])
def test_database_itself_refuses_states_that_no_move_makes(driver: Driver, values: dict[str, str]):
    job_id = driver.submit()
    with pytest.raises(IntegrityError):
        driver.session.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
