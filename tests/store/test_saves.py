"""What a worker saves, and that a worker whose lease was lost saves nothing."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import undefer

from store import moves, reads, saves
from store.tables import Image, Iterate
from tests.store.conftest import Driver


def pictures(driver: Driver, job_id: UUID) -> list[Any]:
    columns = (Iterate.image, Iterate.iterate, Iterate.picture, Iterate.final)
    return list(driver.session.execute(select(*columns).where(Iterate.job_id == job_id).order_by(*columns[:2])))


def test_iterate_is_saved_with_its_figures_picture_checkpoint_and_event(driver: Driver):
    job_id = driver.claimed(images=2)
    saved = driver.save(job_id, image=1, iterate=0, picture=b"rough", checkpoint=b"one")
    assert (saved.seq, saved.etag) == (3, sha256(b"rough").hexdigest())
    figures = {"residual": 0.25, "error_estimate": 0.0625, "rounds": 12, "evaluations": 40}
    driver.save(job_id, image=1, iterate=1, **figures, picture=b"sharp", final=True)

    first, second = driver.session.scalars(reads.iterates(job_id))
    assert (first.image, first.iterate, first.residual, first.rounds, first.evaluations) == (1, 0, None, 9, 20)
    assert first.error_estimate is None
    assert (second.iterate, second.residual, second.rounds, second.evaluations, second.final) == (1, 0.25, 12, 40, True)
    assert second.error_estimate == 0.0625
    assert 0 < first.elapsed < second.elapsed
    assert pictures(driver, job_id) == [(1, 0, b"rough", False), (1, 1, b"sharp", True)]

    other, image = driver.session.scalars(reads.images([job_id]))
    assert (other.iterate, other.rounds) == (None, 0)
    assert (image.iterate, image.residual, image.rounds, image.evaluations) == (1, 0.25, 12, 40)
    assert image.error_estimate == 0.0625

    event = driver.events(job_id)[-1]
    assert (event.seq, event.kind) == (4, "iterate")
    assert event.data == {
        "image": 1,
        "iterate": 1,
        "residual": 0.25,
        "error_estimate": 0.0625,
        "rounds": 12,
        "evaluations": 40,
        "elapsed": second.elapsed,
        "etag": sha256(b"sharp").hexdigest(),
        "final": True,
    }


def test_newest_checkpoint_replaces_the_one_before(driver: Driver):
    job_id = driver.claimed(images=2)
    driver.save(job_id, image=0, iterate=0, checkpoint=b"a")
    driver.save(job_id, image=0, iterate=1, checkpoint=b"b")
    driver.save(job_id, image=0, iterate=2, checkpoint=None)
    driver.save(job_id, image=1, iterate=0, checkpoint=b"c")
    assert saves.load_checkpoints(driver.session, driver.pictures, job_id) == {0: (1, b"b"), 1: (0, b"c")}
    assert saves.load_checkpoints(driver.session, driver.pictures, uuid4()) == {}


def test_checkpoint_between_two_iterates_is_no_news(driver: Driver):
    job_id = driver.claimed(images=2)
    driver.save(job_id, image=0, iterate=0, checkpoint=b"a")
    before = driver.events(job_id)
    saves.save_checkpoint(driver.session, driver.pictures, job_id, 1, 0, 0, b"later")
    saves.save_checkpoint(driver.session, driver.pictures, job_id, 1, 1, None, b"begun")
    assert saves.load_checkpoints(driver.session, driver.pictures, job_id) == {0: (0, b"later"), 1: (None, b"begun")}
    assert (driver.events(job_id), driver.job(job_id).seq) == (before, before[-1].seq)


def test_iterate_without_picture_keeps_its_figures(driver: Driver):
    job_id = driver.claimed()
    assert driver.save(job_id, picture=None).etag is None
    assert pictures(driver, job_id) == [(0, 0, None, False)]


def test_run_that_starts_over_repeats_iterates_without_going_back(driver: Driver):
    job_id = driver.claimed()
    for iterate in range(3):
        driver.save(job_id, iterate=iterate, rounds=10 + iterate)
    driver.save(job_id, iterate=0, picture=b"again")
    image = driver.session.scalars(reads.images([job_id])).one()
    assert (image.iterate, image.rounds) == (2, 12)
    assert pictures(driver, job_id)[0] == (0, 0, b"again", False)
    assert len(pictures(driver, job_id)) == 3


def test_saving_the_newest_iterate_again_replaces_it_everywhere(driver: Driver):
    """As after a commit whose confirmation was lost, or by a run that resumed from the checkpoint before."""
    job_id = driver.claimed()
    driver.save(job_id, iterate=0)
    first = driver.save(job_id, iterate=1, residual=0.5, rounds=12, evaluations=40, picture=b"one", checkpoint=b"one")
    again = driver.save(job_id, iterate=1, residual=0.4, rounds=13, evaluations=44, picture=b"two", checkpoint=b"two")
    assert again.seq == first.seq + 1
    image = driver.session.scalars(reads.images([job_id])).one()
    assert (image.iterate, image.residual, image.rounds, image.evaluations) == (1, 0.4, 13, 44)
    row = driver.session.scalars(reads.iterates(job_id)).all()[1]
    assert (row.residual, row.rounds, row.evaluations, row.etag) == (0.4, 13, 44, again.etag)
    assert pictures(driver, job_id) == [(0, 0, b"png", False), (0, 1, b"two", False)]
    assert saves.load_checkpoints(driver.session, driver.pictures, job_id) == {0: (1, b"two")}
    assert driver.events(job_id)[-1].data["etag"] == again.etag


def test_plan_and_end_of_an_image_are_told(driver: Driver):
    job_id = driver.claimed(images=2)
    saves.start_image(
        driver.session, job_id, 1, 1, method="srds", blocks=7, predicted_rounds=30, predicted_evaluations=99
    )
    seq = saves.finish_image(driver.session, job_id, 1, 1, stopped="converged")
    image = driver.session.scalars(select(Image).where(Image.number == 1)).one()
    assert (image.blocks, image.predicted_rounds, image.predicted_evaluations) == (7, 30, 99)
    assert (image.stopped, image.error) == ("converged", None)
    started, finished = driver.events(job_id)[-2:]
    plan = {"number": 1, "method": "srds", "blocks": 7, "predicted_rounds": 30, "predicted_evaluations": 99}
    assert started.data == {"state": "running", "stopped": None, "error": None, "image": plan}
    assert (finished.seq, finished.kind) == (seq, "state")
    assert finished.data["image"] == {"number": 1, "stopped": "converged", "error": None}


def test_image_that_failed_says_why(driver: Driver):
    job_id = driver.claimed()
    saves.finish_image(driver.session, job_id, 1, 0, error="not finite \0 at round 3")
    assert driver.session.scalars(reads.images([job_id])).one().error == "not finite  at round 3"


WRITES: dict[str, Callable[[Driver, UUID], Any]] = {
    "start": lambda driver, job: saves.start_image(
        driver.session, job, 1, 0, method="srds", blocks=1, predicted_rounds=1, predicted_evaluations=1
    ),
    "iterate": lambda driver, job: driver.save(job, attempt=1, iterate=1, picture=b"late", checkpoint=b"late"),
    "checkpoint": lambda driver, job: saves.save_checkpoint(driver.session, driver.pictures, job, 1, 0, 0, b"late"),
    "final": lambda driver, job: driver.make_final(job, 0, picture=b"late"),
    "finish": lambda driver, job: saves.finish_image(driver.session, job, 1, 0, stopped="exact"),
}
LOSSES: dict[str, Callable[[Driver, UUID], Any]] = {
    "queued again": lambda driver, job: driver.do(moves.rescue(3)),
    "claimed again": lambda driver, job: (driver.do(moves.rescue(3)), driver.do(moves.claim(job, "worker", 15))),
    "failed": lambda driver, job: driver.do(moves.rescue(1)),
    "deleted": lambda driver, job: (driver.do(moves.rescue(1)), driver.do(moves.delete(job))),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_worker_that_lost_its_lease_writes_nothing(driver: Driver, loss: str):
    """A worker frozen past its lease wakes up: the job was rescued, and may run again, even on the same worker."""
    job_id = driver.claimed()
    driver.save(job_id)
    driver.expire(job_id)
    LOSSES[loss](driver, job_id)

    def all_of_it() -> list[Any]:
        checkpoints = saves.load_checkpoints(driver.session, driver.pictures, job_id)
        image = driver.session.scalars(reads.images([job_id])).one_or_none()
        job = driver.session.scalars(reads.job(job_id)).one_or_none()
        figures = (image.blocks, image.iterate, image.stopped) if image and job else None
        return [pictures(driver, job_id), checkpoints, figures, job and (job.state, job.seq), driver.events(job_id)]

    before = all_of_it()
    for write in WRITES.values():
        with pytest.raises(saves.LeaseLost):
            write(driver, job_id)
    assert driver.do(moves.release(job_id, 1)) is None
    assert driver.do(moves.succeed(job_id, 1, "exact")) is None
    assert driver.do(moves.fail(job_id, 1, "late")) is None
    assert driver.do(moves.canceled(job_id, 1)) is None
    assert driver.do(moves.renew("worker", {job_id: 1}, 15)) is None
    assert all_of_it() == before


@pytest.mark.parametrize("kept", [b"png", None])
def test_saved_iterate_becomes_the_final_one(driver: Driver, kept: bytes | None):
    job_id = driver.claimed()
    driver.save(job_id, iterate=0)
    driver.save(job_id, iterate=1, picture=kept, residual=0.25)
    iterates = select(Iterate).options(undefer(Iterate.picture)).order_by(Iterate.iterate)
    before = driver.session.scalars(iterates).all()[1]
    data = driver.events(job_id)[-1].data
    seq = driver.make_final(job_id, 1, picture=b"png")
    driver.session.expire_all()
    first, last = driver.session.scalars(iterates).all()
    assert (first.final, last.final) == (False, True)
    assert (last.picture, last.residual, last.created_at) == (b"png", 0.25, before.created_at)
    event = driver.events(job_id)[-1]
    assert (event.seq, event.kind) == (seq, "iterate")
    assert event.data == {**data, "final": True, "etag": sha256(b"png").hexdigest()}


def test_lease_that_ran_out_unnoticed_still_serves(driver: Driver):
    """Nobody else has the job: its worker was only slow, and goes on."""
    job_id = driver.claimed()
    driver.expire(job_id)
    driver.save(job_id)
    assert driver.do(moves.renew("worker", {job_id: 1}, 15)) == (job_id, False, False, False)
    assert driver.do(moves.rescue(3)) is None
    assert driver.do(moves.succeed(job_id, 1, "exact"))


def test_save_that_fails_leaves_nothing_behind(driver: Driver):
    job_id = driver.claimed()
    with pytest.raises(IntegrityError):
        driver.save(job_id, image=5)
    assert driver.job(job_id).seq == 2
    assert driver.save(job_id).seq == 3
