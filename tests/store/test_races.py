"""Moves of one job at the same time, each from a thread and a connection of its own."""

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise, permutations
from threading import Barrier
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from contract.fields import Generation
from contract.words import TERMINAL
from store import moves, reads, retention, saves
from store.queue_order import LastTry
from store.tables import Checkpoint, Event, Iterate, Job
from tests.store.conftest import Driver


class Refinement(NamedTuple):
    job: UUID
    generation: Generation


def at_once(engine: Engine, statements: Sequence[Any]) -> list[Any]:
    """Execute and commit each statement in a thread of its own, all starting together; their first rows. Where it is
    a refinement, the job is locked before, as the API does."""
    start = Barrier(len(statements))

    def run(statement: Any) -> Any:
        with Session(engine) as session:
            session.connection()
            start.wait(10)
            if isinstance(statement, Refinement):
                session.execute(reads.job(statement.job).with_for_update())
                statement = moves.refine(*statement)
            row = session.execute(statement).first()
            session.commit()
            return row

    with ThreadPoolExecutor(len(statements)) as pool:
        return list(pool.map(run, statements))


def assert_told_once(driver: Driver, job_id: UUID) -> None:
    """The job's events are numbered without gaps up to its seq; the last of a finished job is ``done``. Another is
    followed by the event of its refinement, and by nothing where there was none."""
    job, events = driver.job(job_id), driver.events(job_id)
    assert [event.seq for event in events] == list(range(1, job.seq + 1))
    assert (events[-1].kind == "done") == (job.state in TERMINAL)
    if job.state in TERMINAL:
        assert events[-1].data["state"] == job.state
    for event, after in pairwise(events):
        if event.kind == "done":
            assert (event.data["state"], after.kind, after.data["state"]) == ("succeeded", "state", "queued")
            assert event.data["stopped"] != "exact"


def test_of_many_claims_one_wins(database: Engine, driver: Driver):
    for _ in range(5):
        job_id = driver.submit()
        won = at_once(database, [moves.claim(job_id, f"worker-{n}", 15) for n in range(12)])
        (row,) = filter(None, won)
        job = driver.job(job_id)
        assert (job.attempt, job.worker) == (1, f"worker-{won.index(row)}")
        assert_told_once(driver, job_id)


def late(driver: Driver, job_id: UUID) -> None:
    """Let the deadline of a job be now."""
    driver.do(update(Job).where(Job.id == job_id).values(deadline_at=func.now()).returning(Job.id))


ENDS: dict[str, Callable[[UUID], Any]] = {
    "succeed": lambda job: moves.succeed(job, 1, "converged"),
    "fail": lambda job: moves.fail(job, 1, "broken"),
    "canceled": lambda job: moves.canceled(job, 1),
    "release": lambda job: moves.release(job, 1),
    "cancel": moves.cancel,
    "accept": moves.accept,
    "rescue": lambda job: moves.rescue(1),
    "expire": lambda job: moves.expire(),
}


@pytest.mark.parametrize("round_", range(5))
def test_job_ends_once_whoever_ends_it(database: Engine, driver: Driver, round_: int):
    job_id = driver.claimed()
    driver.save(job_id)
    driver.expire(job_id)
    late(driver, job_id)
    statements = [end(job_id) for end in ENDS.values()] + [moves.cancel(job_id), moves.delete(job_id)]
    random.Random(round_).shuffle(statements)
    at_once(database, statements)
    if driver.session.scalar(select(Job.id)) is not None:
        driver.do(moves.cancel(job_id))  # had it been released, it would be queued
        assert driver.job(job_id).state in TERMINAL
        assert_told_once(driver, job_id)
        assert driver.do(moves.delete(job_id))
    assert driver.session.scalars(select(Event)).all() == []


@pytest.mark.parametrize("together", [False, True])
def test_every_order_of_what_may_happen_to_a_job_is_legal(database: Engine, driver: Driver, together: bool):
    """Cancel, accept, finish, the loss of the lease and delete, in all 120 orders: one after another, and at once."""
    happens: list[Callable[[UUID], Any]] = [
        moves.cancel,
        moves.accept,
        lambda job: moves.succeed(job, 1, "converged"),
        lambda job: moves.rescue(2),
        moves.delete,
    ]
    ends: Counter[str] = Counter()
    for order in permutations(happens):
        job_id = driver.claimed()
        driver.save(job_id)
        driver.expire(job_id)
        statements = [move(job_id) for move in order]
        if together:
            at_once(database, statements)
        else:
            for statement in statements:
                driver.do(statement)
        if driver.session.scalar(select(Job.id)) is None:
            ends["deleted"] += 1
            assert driver.session.scalars(select(Event)).all() == []
            continue
        job = driver.job(job_id)
        ends[job.state] += 1
        assert job.state in ("queued", "succeeded", "canceled")
        assert (job.worker, job.lease_expires_at) == (None, None)
        assert_told_once(driver, job_id)
        driver.do(moves.cancel(job_id))
        assert driver.do(moves.delete(job_id))
    if not together:
        # Counted by hand from the table in `store.moves`: whatever ends the job, the deletion comes later or too early.
        assert ends == {"deleted": 65, "canceled": 35, "succeeded": 20}


def test_cancel_against_succeed(database: Engine, driver: Driver):
    outcomes: Counter[str] = Counter()
    for turn in range(10):
        job_id = driver.claimed()
        pair = [moves.cancel(job_id), moves.succeed(job_id, 1, "exact")]
        at_once(database, pair if turn % 2 else pair[::-1])
        outcomes[driver.job(job_id).state] += 1
        assert_told_once(driver, job_id)
    assert outcomes == {"succeeded": 10}  # the work was done: a request to stop it that came as late is void


def test_accept_against_every_end(database: Engine, driver: Driver):
    for turn, name in enumerate([*ENDS] * 2):
        job_id = driver.claimed()
        driver.expire(job_id)
        late(driver, job_id)
        pair = [moves.accept(job_id), ENDS[name](job_id)]
        at_once(database, pair if turn % 2 else pair[::-1])
        assert_told_once(driver, job_id)
        job = driver.job(job_id)
        if job.cancel_requested and job.state == "running":
            assert driver.do(moves.accept(job_id)) is None


def test_of_many_refinements_one_wins(database: Engine, driver: Driver):
    finer = driver.generation(tolerance=0.001)
    for _ in range(5):
        job_id = driver.claimed()
        driver.save(job_id, final=True)
        saves.finish_image(driver.session, job_id, 1, 0, stopped="converged")
        driver.do(moves.succeed(job_id, 1, "converged"))
        assert len(list(filter(None, at_once(database, [Refinement(job_id, finer)] * 6)))) == 1
        assert_told_once(driver, job_id)


def test_refine_against_delete_and_pruning(database: Engine, driver: Driver):
    finer = driver.generation(tolerance=0.001)
    outcomes: Counter[str] = Counter()
    for turn in range(12):
        job_id = driver.claimed()
        driver.save(job_id, final=True)
        saves.finish_image(driver.session, job_id, 1, 0, stopped="converged")
        driver.do(moves.succeed(job_id, 1, "converged"))
        statements = [
            Refinement(job_id, finer),
            moves.delete(job_id),
            retention.prune(0),
            retention.prune_checkpoints(0),
        ]
        random.Random(turn).shuffle(statements)
        at_once(database, statements)
        state = driver.session.scalar(select(Job.state).where(Job.id == job_id))
        outcomes[str(state)] += 1
        kept = driver.session.scalars(select(Checkpoint.job_id).where(Checkpoint.job_id == job_id)).all()
        assert kept == ([job_id] if state else [])
    assert set(outcomes) <= {"None", "queued"}


def test_cancel_against_claim(database: Engine, driver: Driver):
    for turn in range(10):
        job_id = driver.submit()
        pair = [moves.cancel(job_id), moves.claim(job_id, "worker", 15)]
        canceled, claimed = at_once(database, pair if turn % 2 else pair[::-1])[:: 1 if turn % 2 else -1]
        job = driver.job(job_id)
        assert canceled
        assert job.cancel_requested
        assert job.state == ("running" if claimed else "canceled")
        assert_told_once(driver, job_id)


def test_expire_against_claim_and_hand_back(database: Engine, driver: Driver):
    for turn in range(9):
        job_id = driver.submit() if turn % 3 else driver.claimed()
        late(driver, job_id)
        pair = [moves.expire(), moves.claim(job_id, "worker", 15) if turn % 3 else moves.release(job_id, 1)]
        at_once(database, pair if turn % 2 else pair[::-1])
        driver.session.execute(moves.expire())  # whom it missed, as the other held the row, it finds next time
        driver.session.commit()
        job = driver.job(job_id)
        assert (job.state, job.failure) == ("failed", "deadline")
        assert_told_once(driver, job_id)


def test_refine_against_its_failure_keeps_one_final_picture(database: Engine, driver: Driver):
    finer = driver.generation(tolerance=0.001)
    for turn in range(8):
        job_id = driver.claimed()
        driver.save(job_id, final=True)
        saves.finish_image(driver.session, job_id, 1, 0, stopped="converged")
        driver.do(moves.succeed(job_id, 1, "converged"))
        statements: list[Any] = [
            Refinement(job_id, finer),
            moves.cancel(job_id),
            moves.claim_next("worker", 15, LastTry(3)),
        ]
        random.Random(turn).shuffle(statements)
        at_once(database, statements)
        job = driver.job(job_id)
        finals = driver.session.scalars(select(Iterate.iterate).where(Iterate.job_id == job_id, Iterate.final)).all()
        assert finals == ([0] if job.state in TERMINAL else [])
        assert_told_once(driver, job_id)
        driver.do(moves.cancel(job_id))
        if job.state == "running":
            driver.do(moves.canceled(job_id, 2))
        assert driver.session.scalars(select(Iterate.iterate).where(Iterate.job_id == job_id, Iterate.final)).all() == [
            0
        ]


def test_janitors_share_the_rescue(database: Engine, driver: Driver):
    jobs = {driver.claimed() for _ in range(20)}
    for job_id in jobs:
        driver.expire(job_id)
    at_once(database, [moves.rescue(3, limit=8)] * 4)
    driver.session.execute(moves.rescue(3))
    driver.session.commit()
    for job_id in jobs:
        job = driver.job(job_id)
        assert (job.state, job.crashes, job.seq) == ("queued", 1, 3)
        assert_told_once(driver, job_id)


def test_rescue_leaves_alone_a_job_that_is_being_saved(database: Engine, driver: Driver):
    job_id = driver.claimed()
    driver.expire(job_id)
    with Session(database) as saving:
        saving.execute(select(Job).where(Job.id == job_id).with_for_update())
        assert driver.do(moves.rescue(3)) is None  # and does not wait for it
    assert driver.do(moves.rescue(3)).id == job_id


def test_save_waits_for_a_rescue_under_way_and_then_writes_nothing(database: Engine, driver: Driver):
    job_id = driver.claimed()
    driver.expire(job_id)
    with Session(database) as janitor, ThreadPoolExecutor(1) as worker:
        janitor.execute(moves.rescue(3))
        late = worker.submit(driver.save, job_id, picture=b"late")
        assert not wait([late], timeout=0.2).done
        janitor.commit()
        with pytest.raises(saves.LeaseLost):
            late.result(10)
    assert driver.session.scalars(select(Iterate)).all() == []
    assert_told_once(driver, job_id)


@pytest.mark.slow
def test_storm_of_moves_and_saves(database: Engine, driver: Driver):
    """Six threads do to three jobs whatever comes to their minds; every job's story stays whole."""
    jobs = [driver.submit() for _ in range(3)]
    finer = driver.generation(tolerance=0.001)

    def act(seed: int) -> Counter[UUID]:
        choose, claims = random.Random(seed), Counter[UUID]()
        with Session(database) as session:
            for _ in range(30):
                job_id, attempt = choose.choice(jobs), choose.randint(1, 4)
                often = [
                    moves.claim(job_id, "worker", choose.choice([15, -1])),
                    moves.release(job_id, attempt),
                    moves.rescue(5),
                    moves.renew("worker", {job_id: attempt}, 15),
                ]
                often += [moves.succeed(job_id, attempt, "converged"), moves.refine(job_id, finer)]
                often += [moves.accept(job_id), retention.prune_checkpoints(0)]
                often += [retention.prune_previews(0), moves.expire(), moves.claim_next("worker", 15, LastTry(5))]
                seldom = [moves.succeed(job_id, attempt, "exact"), moves.cancel(job_id)]
                statement = choose.choice(often if choose.random() < 0.98 else seldom)
                rows: Sequence[Any] = session.execute(statement).all()
                if statement is often[0]:
                    claims.update(row.id for row in rows)
                elif statement is often[-1]:
                    claims.update(job.id for job, _ in rows)
                session.commit()
                with contextlib.suppress(saves.LeaseLost):
                    Driver(session, driver.generation).save(job_id, attempt, iterate=choose.randint(0, 3))
        return claims

    with ThreadPoolExecutor(6) as pool:
        claims = sum(pool.map(act, range(6)), Counter[UUID]())
    for job_id in jobs:
        assert_told_once(driver, job_id)
        assert driver.job(job_id).attempt == claims[job_id]
