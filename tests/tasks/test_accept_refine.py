"""Jobs that are ended early, and jobs that go on after their end."""

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import update

from contract.fields import Generation
from store import moves
from store.settings import JobSettings
from store.tables import Image
from tasks.janitor import Janitor
from tests.tasks.inside import Reference, Start
from tests.tasks.jobs import Jobs

ENDLESS: dict[str, Any] = {"method": "srds", "steps": 900, "blocks": 30, "tolerance": 0.0}
BLOCKS: dict[str, Any] = {"method": "srds", "steps": 24, "blocks": 6}


def refine(jobs: Jobs, job_id: UUID, **changes: Any) -> None:
    """Queue a finished job again."""
    generation = Generation.model_validate(jobs.get(job_id).generation).model_copy(update=changes)
    assert jobs.do(moves.refine(job_id, generation)) is not None


def accepted_early(jobs: Jobs, **fields: Any) -> UUID:
    """A queued job that was begun and handed back before it had an iterate, and then accepted."""
    job_id = jobs.submit(**fields)
    jobs.do(moves.claim(job_id, "elsewhere", 60))
    jobs.do(moves.release(job_id, 1))
    jobs.do(moves.accept(job_id))
    return job_id


def plans(jobs: Jobs, job_id: UUID) -> list[dict[str, Any]]:
    """The plans of its image, from the events of a job."""
    images = [event.data.get("image", {}) for event in jobs.events(job_id) if event.kind == "state"]
    return [image for image in images if "method" in image]


def finals(jobs: Jobs, job_id: UUID, image: int = 0) -> list[int]:
    return [each.iterate for each in jobs.iterates(job_id, image) if each.final]


@pytest.mark.parametrize("previews", [True, False])
def test_an_accepted_job_keeps_its_newest_iterate(jobs: Jobs, process: Start, previews: bool) -> None:
    worker = process()
    job_id = jobs.submit(previews=previews, images=2, **ENDLESS)
    running = worker.start()
    jobs.wait(job_id, lambda _: all(jobs.iterates(job_id, image) for image in (0, 1)))
    jobs.do(moves.accept(job_id))
    worker.heartbeat.beat()
    running.result(60)
    job = jobs.get(job_id)
    assert (job.state, job.stopped) == ("succeeded", "accepted")
    for image, row in enumerate(jobs.images(job_id)):
        newest = jobs.iterates(job_id, image)[-1]
        assert (row.stopped, row.iterate, finals(jobs, job_id, image)) == ("accepted", newest.iterate, [newest.iterate])
        assert newest.iterate < 30
        assert jobs.pixels(job_id, image).shape == (64, 64, 3)
    events = [event.data for event in jobs.events(job_id) if event.kind == "iterate" and event.data["final"]]
    assert sorted(data["image"] for data in events) == [0, 1]
    assert all(data["etag"] for data in events)


def test_an_image_without_an_iterate_stops_at_its_first(jobs: Jobs, process: Start) -> None:
    job_id = accepted_early(jobs, **ENDLESS)
    worker = process(jobs=JobSettings(heartbeat_seconds=0.01))
    worker.heartbeat.start()
    worker.run()
    assert jobs.get(job_id).stopped == "accepted"
    assert finals(jobs, job_id) == [jobs.iterates(job_id)[-1].iterate]
    assert len(jobs.iterates(job_id)) <= 2


@pytest.mark.parametrize("draft", [0, 1])
def test_a_refined_draft_is_what_it_would_have_been(
    jobs: Jobs, process: Start, reference: Reference, draft: int
) -> None:
    worker = process()
    job_id = jobs.submit(max_iterations=draft, tolerance=0.001, **BLOCKS)
    worker.run()
    assert (jobs.get(job_id).stopped, finals(jobs, job_id)) == ("max_iterations", [draft])
    rough = jobs.iterates(job_id)

    before = reference.evaluations
    refine(jobs, job_id, max_iterations=None)
    assert finals(jobs, job_id) == []
    worker.run()
    job, (image,) = jobs.get(job_id), jobs.images(job_id)
    assert (job.state, job.stopped, job.attempt) == ("succeeded", "converged", 2)
    saved = jobs.iterates(job_id)
    assert [each.created_at for each in saved[: draft + 1]] == [each.created_at for each in rough]
    assert [each.iterate for each in saved] == list(range(len(saved)))
    assert finals(jobs, job_id) == [saved[-1].iterate]
    events = jobs.events(job_id)
    assert [event.seq for event in events] == list(range(1, job.seq + 1))
    assert [event.kind for event in events].count("done") == 2

    # No step is computed twice: what it cost is the rest.
    expected = reference.sample(steps=24, blocks=6, tolerance=0.001)
    last, picture = expected[-1]
    assert saved[-1].iterate == last.number
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1
    spent = reference.evaluations - before
    assert spent == image.evaluations - rough[-1].evaluations
    assert spent < last.evaluations
    assert image.evaluations <= last.evaluations * 1.1
    assert image.predicted_evaluations is not None
    assert image.predicted_evaluations > rough[-1].evaluations


def test_refining_to_a_lower_tolerance_again_and_again(jobs: Jobs, process: Start, reference: Reference) -> None:
    worker = process()
    job_id = jobs.submit(tolerance=0.1, **BLOCKS)
    worker.run()
    reached = [jobs.iterates(job_id)[-1].iterate]
    for tolerance in (0.003, 0.0):
        refine(jobs, job_id, tolerance=tolerance)
        worker.run()
        reached.append(jobs.iterates(job_id)[-1].iterate)
    assert reached == sorted(set(reached))
    assert (jobs.get(job_id).stopped, reached[-1]) == ("exact", 6)
    assert jobs.checkpoints(job_id) == []  # nothing is left to refine
    _, picture = reference.sample(steps=24, blocks=1, tolerance=0.0)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1


@pytest.mark.parametrize("begun", [{"method": "srds", "blocks": 9}, {"method": "collocation"}])
def test_auto_publishes_the_plan_that_it_goes_on_with(jobs: Jobs, process: Start, begun: dict[str, Any]) -> None:
    worker = process(jobs=JobSettings(heartbeat_seconds=0.01))
    worker.heartbeat.start()
    job_id = accepted_early(jobs, steps=40, tolerance=0.01, **begun)
    worker.run()
    (before,) = jobs.images(job_id)
    assert (before.stopped, before.method) == ("accepted", begun["method"])
    refine(jobs, job_id, method="auto", blocks=None, tolerance=0.0)
    worker.run()
    (after,) = jobs.images(job_id)
    assert jobs.get(job_id).stopped in ("exact", "converged")
    assert (after.method, after.blocks) == (begun["method"], before.blocks)
    assert after.predicted_rounds
    assert [plan["method"] for plan in plans(jobs, job_id)] == [begun["method"]] * 2


def test_auto_publishes_the_plan_that_it_starts_over_with(jobs: Jobs, process: Start) -> None:
    """As after a worker that planned otherwise and died before the first checkpoint."""
    job_id = jobs.submit(steps=40, tolerance=0.02, method="auto")
    other = {"method": "srds", "blocks": 9, "predicted_rounds": 40, "predicted_evaluations": 60}
    jobs.do(update(Image).where(Image.job_id == job_id).values(other).returning(Image.number))
    process().run()
    (image,), (plan,) = jobs.images(job_id), plans(jobs, job_id)
    assert (plan["method"], plan["blocks"]) == (image.method, image.blocks) != ("srds", 9)


def test_an_accepted_job_can_be_refined(jobs: Jobs, process: Start) -> None:
    worker = process()
    job_id = jobs.submit(**ENDLESS)
    running = worker.start()
    jobs.wait_for_iterate(job_id, 0)
    jobs.do(moves.accept(job_id))
    worker.heartbeat.beat()
    running.result(60)
    accepted = jobs.iterates(job_id)[-1].iterate
    refine(jobs, job_id, max_iterations=accepted + 1)
    worker.run()
    assert (jobs.get(job_id).stopped, finals(jobs, job_id)) == ("max_iterations", [accepted + 1])


def test_an_image_that_is_good_enough_already_is_not_computed(jobs: Jobs, process: Start, reference: Reference) -> None:
    worker = process()
    job_id = jobs.submit(tolerance=0.05, **BLOCKS)
    worker.run()
    newest = jobs.iterates(job_id)[-1]
    assert newest.error_estimate is not None
    before = reference.evaluations
    refine(jobs, job_id, tolerance=newest.error_estimate)
    worker.run()
    assert (jobs.get(job_id).stopped, finals(jobs, job_id)) == ("converged", [newest.iterate])
    assert reference.evaluations == before


def test_checkpoints_are_kept_for_a_while(jobs: Jobs, process: Start) -> None:
    worker = process()
    job_id = jobs.submit(max_iterations=0, **BLOCKS)
    worker.run()
    sessions, valkey = worker.worker.sessions, worker.worker.redis
    Janitor(sessions, worker.worker.pictures, valkey, JobSettings()).prune()
    assert len(jobs.checkpoints(job_id)) == 1
    Janitor(sessions, worker.worker.pictures, valkey, JobSettings(checkpoint_retention_seconds=0.001)).prune()
    assert jobs.checkpoints(job_id) == []
    assert jobs.pixels(job_id).shape == (64, 64, 3)
