"""One job, from claim to end."""

import hashlib
from collections.abc import Callable
from concurrent.futures import wait
from datetime import datetime, timedelta

import numpy as np
import pytest
import redis
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from contract.fields import Generation
from store import moves, wakeups
from store.catalog import Catalog
from store.tables import Job
from tasks.queue import QUEUE
from tests.tasks.inside import Reference, Start
from tests.tasks.jobs import Jobs
from tests.until import PATIENCE

STEPS = 12


def test_every_iterate_is_saved_as_the_sampler_has_it(
    jobs: Jobs, process: Start, reference: Reference, valkey: redis.Redis
) -> None:
    job_id = jobs.submit(steps=STEPS, seed=7)
    listener = valkey.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(wakeups.JOBS)
    listener.get_message(timeout=5)  # the confirmation
    process().run()

    job = jobs.get(job_id)
    assert (job.state, job.stopped, job.attempt, job.error) == ("succeeded", "converged", 1, None)
    expected = reference.sample(steps=STEPS)
    saved = jobs.iterates(job_id)
    assert [each.iterate for each in saved] == [each.number for each, _ in expected]
    assert len(saved) >= 3
    for row, (iterate, picture) in zip(saved, expected, strict=True):
        assert (row.rounds, row.evaluations) == (iterate.rounds, iterate.evaluations)
        assert row.residual == (iterate.residual and pytest.approx(iterate.residual, rel=1e-3))
        assert row.error_estimate == (iterate.error_estimate and pytest.approx(iterate.error_estimate, rel=1e-3))
        assert np.abs(jobs.pixels(job_id, 0, row.iterate) - picture).max() <= 1
        assert row.etag == hashlib.sha256(jobs.png(job_id, 0, row.iterate)).hexdigest()
    assert [each.final for each in saved] == [False] * (len(saved) - 1) + [True]
    elapsed = [each.elapsed for each in saved]
    assert elapsed == sorted(elapsed)
    assert elapsed[0] > 0

    (image,) = jobs.images(job_id)
    assert (image.iterate, image.stopped, image.evaluations) == (saved[-1].iterate, "converged", saved[-1].evaluations)
    assert image.blocks is not None
    assert image.predicted_rounds is not None
    assert image.blocks < image.predicted_rounds < STEPS
    assert [each.iterate for each in jobs.checkpoints(job_id)] == [saved[-1].iterate]  # it can be refined
    assert valkey.hlen(f"underpaint:preview:{job_id}") == len(saved)

    events = jobs.events(job_id)
    assert [event.seq for event in events] == list(range(1, job.seq + 1))
    assert [event.data["iterate"] for event in events if event.kind == "iterate"] == [each.iterate for each in saved]
    numbers: list[int] = []
    while (message := listener.get_message(timeout=0.5)) is not None:
        numbers.append(wakeups.decode(message["data"]).seq)
    assert numbers == list(range(2, job.seq + 1))
    listener.close()


def test_without_previews_only_the_final_picture_is_kept(jobs: Jobs, process: Start) -> None:
    job_id = jobs.submit(steps=STEPS, previews=False)
    process().run()
    saved = jobs.iterates(job_id)
    assert len(saved) >= 3
    assert [each.etag is not None for each in saved] == [each.final for each in saved]
    assert jobs.pixels(job_id).shape == (64, 64, 3)


def test_the_serial_method_is_one_block(jobs: Jobs, process: Start, reference: Reference) -> None:
    job_id = jobs.submit(steps=STEPS, method="serial")
    process().run()
    assert jobs.get(job_id).stopped == "exact"
    (image,) = jobs.images(job_id)
    assert (image.method, image.blocks, image.rounds, image.evaluations) == ("serial", 1, STEPS, STEPS)
    assert (image.predicted_rounds, image.predicted_evaluations) == (STEPS, STEPS)
    _, picture = reference.sample(steps=STEPS, blocks=1, tolerance=0.0)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1


def test_collocation_gives_the_same_picture(jobs: Jobs, process: Start, reference: Reference) -> None:
    exact = jobs.submit(steps=STEPS, method="collocation", tolerance=0.0)
    near = jobs.submit(steps=STEPS, method="collocation", tolerance=0.02)
    worker = process()
    worker.run()
    worker.run()
    assert (jobs.get(exact).stopped, jobs.get(near).stopped) == ("exact", "converged")
    assert jobs.iterates(exact)
    _, picture = reference.sample(steps=STEPS, blocks=1, tolerance=0.0)[-1]
    assert np.abs(jobs.pixels(exact) - picture).max() <= 1
    assert np.abs(jobs.pixels(near) - picture).mean() < 3
    assert jobs.images(near)[0].rounds < jobs.images(exact)[0].rounds


def test_auto_is_planned_by_what_rounds_cost_and_says_so(jobs: Jobs, process: Start, reference: Reference) -> None:
    wishes = [jobs.submit(steps=100, method="auto", tolerance=0.02, wish=wish) for wish in ("latency", "cost")]
    worker = process()
    worker.run()
    worker.run()
    fast, cheap = (jobs.images(job_id)[0] for job_id in wishes)
    _, picture = reference.sample(steps=100, blocks=1, tolerance=0.0)[-1]
    for job_id, image in zip(wishes, (fast, cheap), strict=True):
        assert jobs.get(job_id).stopped in ("converged", "exact")
        assert np.abs(jobs.pixels(job_id) - picture).mean() < 3
        assert image.method in ("collocation", "serial")
        assert image.predicted_rounds
    assert cheap.predicted_evaluations is not None
    assert cheap.predicted_evaluations <= min(100, fast.predicted_evaluations or 0)


def test_auto_is_srds_where_blocks_are_asked_for(jobs: Jobs, process: Start) -> None:
    job_id = jobs.submit(steps=STEPS, method="auto", blocks=4, tolerance=0.0, max_iterations=1)
    process().run()
    assert [each.iterate for each in jobs.iterates(job_id)] == [0, 1]
    assert jobs.get(job_id).stopped == "max_iterations"


def test_what_was_asked_for_is_computed(jobs: Jobs, process: Start) -> None:
    job_id = jobs.submit(steps=STEPS, blocks=5, tolerance=0.0, max_iterations=2)
    process().run()
    assert jobs.get(job_id).stopped == "max_iterations"
    assert [each.iterate for each in jobs.iterates(job_id)] == [0, 1, 2]
    assert jobs.images(job_id)[0].blocks == 5


def test_jobs_and_their_images_share_rounds(jobs: Jobs, process: Start, reference: Reference) -> None:
    rounds, evaluations = reference.rounds, reference.evaluations
    pair = jobs.submit(steps=STEPS, seed=7, images=2)
    alone = jobs.submit(steps=STEPS, seed=9, method="serial")
    worker = process()
    for future in [worker.start(), worker.start()]:
        future.result(60)
    images = [*jobs.images(pair), *jobs.images(alone)]
    assert [image.seed for image in images] == [7, 8, 9]
    assert reference.evaluations - evaluations == sum(image.evaluations for image in images)
    assert reference.rounds - rounds < sum(image.rounds for image in images)
    # Batched with others or alone, a picture is the same.
    for number in (0, 1):
        _, picture = reference.sample(7 + number, steps=STEPS)[-1]
        assert np.abs(jobs.pixels(pair, number) - picture).max() <= 2


def test_several_calls_for_one_job_are_one_run(jobs: Jobs, process: Start) -> None:
    job_id = jobs.submit(steps=STEPS)
    one, other = process("one"), process("other")
    for future in [one.start(), other.start(), one.start()]:
        future.result(60)
    one.run()
    job = jobs.get(job_id)
    assert (job.state, job.attempt) == ("succeeded", 1)
    assert [event.data["state"] for event in jobs.events(job_id) if event.kind != "iterate"].count("succeeded") == 1


def test_one_call_is_enough_for_all_jobs_in_their_order(jobs: Jobs, process: Start) -> None:
    ids = [jobs.submit(steps=2) for _ in range(3)]
    jobs.do(update(Job).where(Job.id == ids[2]).values(rank_at=Job.rank_at - timedelta(minutes=10)).returning(Job.id))
    process().run()
    done = [jobs.get(job_id) for job_id in ids]
    assert [job.state for job in done] == ["succeeded"] * 3

    def claimed_at(job: Job) -> datetime:
        assert job.claimed_at is not None
        return job.claimed_at

    assert [job.id for job in sorted(done, key=claimed_at)] == [ids[2], ids[0], ids[1]]


def test_a_job_that_is_gone_is_nobodys(process: Start, jobs: Jobs) -> None:
    job_id = jobs.submit(steps=STEPS)
    jobs.do(moves.cancel(job_id))
    process().run()
    assert jobs.get(job_id).state == "canceled"
    assert jobs.iterates(job_id) == []


def test_a_model_that_cannot_be_loaded_fails_the_job(jobs: Jobs, process: Start, catalog: Catalog) -> None:
    broken = catalog["emoji"].model_copy(update={"id": "broken", "source": "nowhere"})
    job_id = jobs.submit_generation(catalog.resolve({"prompt": "red heart"}).model_copy(update={"model": "broken"}))
    process(catalog=Catalog({"broken": broken})).run()
    job = jobs.get(job_id)
    assert (job.state, job.error) == ("failed", jobs.images(job_id)[0].error)
    assert job.error is not None
    assert "model_index.json" in job.error
    assert "check the model's source" in job.error


def test_a_model_that_this_worker_does_not_offer_fails_the_job(jobs: Jobs, process: Start) -> None:
    job_id = jobs.submit(steps=STEPS)
    process(catalog=Catalog()).run()
    job = jobs.get(job_id)
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error is not None
    assert "emoji" in job.error


def test_what_the_model_refuses_fails_the_job_and_nothing_else(
    jobs: Jobs, process: Start, generation: Callable[..., Generation]
) -> None:
    odd = jobs.submit_generation(generation(steps=STEPS).model_copy(update={"height": 60}))
    even = jobs.submit(steps=STEPS)
    worker = process()
    for future in [worker.start(), worker.start()]:
        future.result(60)
    error = jobs.get(odd).error or ""
    assert error.startswith("model emoji cannot make this picture: ")
    assert "60" in error
    assert jobs.get(even).state == "succeeded"


def test_a_job_that_is_locked_when_its_worker_looks_is_claimed_all_the_same(
    database: Engine, jobs: Jobs, process: Start
) -> None:
    """As while the API marks it as sent."""
    job_id = jobs.submit(steps=4)
    with Session(database) as api:
        api.execute(moves.mark_sent([job_id])).all()
        running = process().start()
        wait([running], 0.3)
        api.commit()
    running.result(PATIENCE)
    assert jobs.get(job_id).state == "succeeded"


def test_a_worker_that_closes_calls_another_one(jobs: Jobs, process: Start, valkey: redis.Redis) -> None:
    job_id = jobs.submit(steps=STEPS)
    closing, other = process("closing"), process("other")
    closing.close()
    closing.run()
    assert jobs.get(job_id).state == "queued"
    assert valkey.llen(QUEUE) == 1
    other.run()
    assert jobs.get(job_id).state == "succeeded"
    assert valkey.llen(QUEUE) == 1
