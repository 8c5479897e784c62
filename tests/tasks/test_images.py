"""What becomes of the images of a job: who goes first in the engine, what is decoded, and how the job ends."""

from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import pytest
from sqlalchemy import update

from contract.words import Stopped
from store.tables import Job
from tasks.engines import Engines
from tasks.images import STOPPED, Results
from tasks.metrics import Metrics
from tests.tasks.inside import Start
from tests.tasks.jobs import Jobs

EXACT_FIRST: list[Stopped] = ["exact", "converged", "accepted", "max_iterations"]


@pytest.mark.parametrize(("one", "other"), list(product(EXACT_FIRST, EXACT_FIRST)))
def test_a_job_is_as_exact_as_its_least_exact_image(one: Stopped, other: Stopped) -> None:
    assert [status.value for status in STOPPED] == EXACT_FIRST
    worse = max(one, other, key=EXACT_FIRST.index)
    assert Results(2, {0: one, 1: other}).least_exact == worse
    assert Results(3, {0: one, 1: other, 2: one}).least_exact == worse


def test_a_job_is_complete_when_each_image_has_stopped_or_failed() -> None:
    results = Results(2)
    assert not results.complete
    results.stopped[0] = "exact"
    assert not results.complete
    results.errors[1] = "not finite"
    assert results.complete


def test_an_error_names_its_image_unless_all_images_share_it() -> None:
    assert Results(2, {}, {0: "no room", 1: "no room"}).error == "no room"
    assert Results(2, {1: "exact"}, {0: "no room"}).error == "image 0: no room"
    assert Results(2, {}, {1: "too large", 0: "no room"}).error == "image 0: no room; image 1: too large"


def test_the_engine_prefers_the_job_with_the_better_rank(jobs: Jobs, process: Start) -> None:
    """With one evaluation a round, a job that comes later with a better rank ends before the older one goes on."""

    def rank(job_id: UUID, milliseconds: int) -> None:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
        jobs.do(update(Job).where(Job.id == job_id).values(rank_at=at).returning(Job.id))

    engines = Engines(width=1, device="cpu")
    worker = process(engines=engines)
    older = jobs.submit(method="serial", steps=1000)
    rank(older, 1700)
    running = worker.start()
    jobs.wait(older, lambda job: job.state == "running")
    jobs.wait(older, lambda _: engines.statistics()["emoji"].get("rounds", 0) > 0)
    better = jobs.submit(method="serial", steps=3)
    rank(better, 1500)
    worker.start().result(60)
    jobs.wait(better)
    assert jobs.get(older).state == "running"
    worker.close()
    running.result(60)
    engines.close(60)


@pytest.mark.parametrize("previews", [True, False])
def test_without_previews_only_the_final_picture_is_decoded(jobs: Jobs, process: Start, previews: bool) -> None:
    metrics = Metrics()
    engines = Engines(width=None, device="cpu", metrics=metrics)
    job_id = jobs.submit(steps=12, images=2, previews=previews)
    process(engines=engines).run()
    engines.close(60)
    iterates = len(jobs.iterates(job_id, 0)) + len(jobs.iterates(job_id, 1))
    assert iterates > 4
    decoded = metrics.registry.get_sample_value("underpaint_decode_seconds_count", {"model": "emoji"})
    assert decoded == (iterates if previews else 2)
