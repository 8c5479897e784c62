"""What is read, from a blocking and from an asyncio session."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import InvalidRequestError

from contract.fields import Generation
from store import moves, reads
from store.database import async_engine, async_sessions
from store.tables import Job
from tests.store.conftest import Driver


def age(driver: Driver, job_id: UUID, column: str, seconds: int) -> None:
    past = text(f"now() - interval '{seconds} seconds'")
    driver.do(update(Job).where(Job.id == job_id).values({column: past}).returning(Job.id))


def test_job_is_read_anew_in_the_same_session(driver: Driver):
    job_id = driver.submit()
    held = driver.job(job_id)
    driver.do(moves.claim(job_id, "worker", 15))
    assert driver.job(job_id) is held
    assert held.state == "running"
    assert driver.session.scalar(reads.job(uuid4())) is None


def test_images_of_several_jobs(driver: Driver):
    jobs = sorted(driver.submit(images=2) for _ in range(2))
    found = driver.session.scalars(reads.images(jobs))
    assert [(image.job_id, image.number) for image in found] == [(job, n) for job in jobs for n in range(2)]


def test_pages_hold_every_job_once_newest_first(driver: Driver):
    jobs = [driver.submit() for _ in range(7)]
    for job_id in jobs[:4]:  # made in the same instant: the id decides
        driver.do(update(Job).where(Job.id == job_id).values(created_at=text("'2026-01-01Z'")).returning(Job.id))
    expected = [*reversed(jobs[4:]), *sorted(jobs[:4], reverse=True)]
    seen: list[UUID] = []
    after = None
    while page := driver.session.scalars(reads.jobs(3, after)).all():
        seen += [job.id for job in page]
        after = reads.Position(page[-1].created_at, page[-1].id)
    assert seen == expected


def test_page_of_some_states_and_a_model(driver: Driver):
    queued, running = driver.submit(), driver.claimed()
    ended = driver.claimed()
    driver.do(moves.succeed(ended, 1, "exact"))

    def ids(*states: str, model: str | None = None) -> list[UUID]:
        return [job.id for job in driver.session.scalars(reads.jobs(10, states=states, model=model))]  # type: ignore

    assert ids() == [ended, running, queued]
    assert ids("queued", "succeeded") == [ended, queued]
    assert ids("running", model="emoji") == [running]
    assert ids(model="other") == []


def test_queue_position_counts_from_one(driver: Driver):
    first, second, running, third = driver.submit(), driver.submit(), driver.claimed(), driver.submit()
    positions = reads.queue_positions([third, first, running, uuid4()])
    assert dict(driver.session.execute(positions).all()) == {first: 1, third: 3}
    driver.do(moves.claim(first, "worker", 15))
    assert dict(driver.session.execute(reads.queue_positions([second, third])).all()) == {second: 1, third: 2}
    assert driver.session.scalar(reads.queue_depth()) == 2


def test_pictures_by_number_and_the_newest_that_has_one(driver: Driver):
    job_id = driver.claimed()
    assert driver.session.execute(reads.newest_picture(job_id, 0)).one_or_none() is None
    etag = driver.save(job_id, iterate=0, picture=b"zero").etag
    driver.save(job_id, iterate=1, picture=None)
    assert driver.session.execute(reads.newest_picture(job_id, 0)).one() == (0, etag, False)
    assert driver.session.execute(reads.picture(job_id, 0, 0)).one() == (0, etag, False)
    assert driver.session.execute(reads.picture(job_id, 0, 1)).one() == (1, None, False)
    assert driver.session.execute(reads.picture(job_id, 0, 2)).one_or_none() is None
    etag = driver.save(job_id, iterate=2, picture=b"two", final=True).etag
    assert driver.session.execute(reads.newest_picture(job_id, 0)).one() == (2, etag, True)


def test_iterates_do_not_carry_their_pictures_along(driver: Driver):
    job_id = driver.claimed(images=2)
    for image, iterate in ((1, 0), (0, 1), (0, 0)):
        driver.save(job_id, image=image, iterate=iterate)
    found = driver.session.scalars(reads.iterates(job_id)).all()
    assert [(row.image, row.iterate) for row in found] == [(0, 0), (0, 1), (1, 0)]
    with pytest.raises(InvalidRequestError):
        _ = found[0].picture


def test_events_after_a_number(driver: Driver):
    job_id = driver.claimed()
    driver.save(job_id)
    driver.do(moves.succeed(job_id, 1, "exact"))

    def listed(**where: int) -> list[tuple[int, str]]:
        return [(event.seq, event.kind) for event in driver.session.scalars(reads.events(job_id, **where))]

    assert listed() == [(1, "state"), (2, "state"), (3, "iterate"), (4, "done")]
    assert listed(after=2) == [(3, "iterate"), (4, "done")]
    assert listed(after=1, limit=1) == [(2, "state")]
    assert listed(after=4) == []


def test_what_the_janitor_sends(driver: Driver):
    fresh, unsent, sent, stale, running = (driver.submit() for _ in range(5))
    driver.session.execute(moves.mark_sent([sent, stale]))
    age(driver, unsent, "updated_at", 10)
    age(driver, stale, "sent_at", 60)
    age(driver, running, "updated_at", 10)
    driver.do(moves.claim(running, "worker", 15))
    assert driver.session.scalars(reads.unsent()).all() == [unsent]
    assert driver.session.scalars(reads.unsent_or_stale(30)).all() == [unsent, stale]
    assert driver.session.scalars(reads.unsent_or_stale(30, grace_seconds=-1)).all() == [fresh, unsent, stale]
    assert driver.session.scalars(reads.unsent(grace_seconds=-1, limit=1)).all() == [fresh]


def test_whole_life_of_a_job_on_an_asyncio_session(driver: Driver, postgres_url: str):
    request: Generation = driver.generation(images=2)

    async def live() -> None:
        engine = async_engine(postgres_url, pool_size=1)
        async with async_sessions(engine)() as session:
            job_id = uuid4()
            submitted = (await session.execute(moves.submit(job_id, request))).one()
            assert (submitted.id, submitted.seq, submitted.state, submitted.attempt) == (job_id, 1, "queued", 0)
            await session.commit()
            assert (await session.scalars(moves.mark_sent([job_id]))).all() == [job_id]
            assert (await session.execute(reads.queue_positions([job_id]))).one() == (job_id, 1)
            assert (await session.execute(moves.claim(job_id, "worker", 15))).one().attempt == 1
            assert (await session.execute(moves.renew("worker", {job_id: 1}, 15))).one() == (
                job_id,
                False,
                False,
                False,
            )
            assert (await session.execute(moves.cancel(job_id))).one().state == "running"
            assert (await session.execute(moves.release(job_id, 1))).one().state == "canceled"
            await session.commit()
            job = await session.scalar(reads.job(job_id))
            assert job
            assert (job.state, job.seq) == ("canceled", 4)
            assert job.created_at.utcoffset() is not None
            assert len((await session.scalars(reads.images([job_id]))).all()) == 2
            assert [event.seq for event in await session.scalars(reads.events(job_id, after=2))] == [3, 4]
            assert (await session.scalars(reads.jobs(5, reads.Position(job.created_at, job.id)))).all() == []
            assert (await session.execute(moves.rescue(3))).all() == []
            assert (await session.execute(moves.delete(job_id))).one() == (job_id, [])
            await session.commit()
        await engine.dispose()

    asyncio.run(live())
