"""Whose turn it is: fairness between keys, priorities, limits, and the positions that clients see."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.orm import Session

from contract.fields import Handling
from contract.words import Priority
from store import moves, queue_order, reads
from store.queue_order import LastTry, Models
from store.tables import ApiKey, Job
from tests.store.conftest import Driver


def key(driver: Driver, max_running: int | None = None) -> UUID:
    made = uuid4()
    fields = {"id": made, "name": str(made), "prefix": "up_", "hash": str(made), "scopes": ["submit"]}
    driver.session.execute(insert(ApiKey).values(**fields, max_running=max_running))
    driver.session.commit()
    return made


def submit(driver: Driver, owner: UUID | None = None, priority: Priority = "normal", age: float = 0) -> UUID:
    """A queued job, accepted ``age`` seconds ago."""
    job_id = uuid4()
    driver.do(moves.submit(job_id, driver.generation(), Handling(priority=priority), owner))
    older = update(Job).where(Job.id == job_id).values(rank_at=Job.rank_at - timedelta(seconds=age))
    driver.do(older.returning(Job.id))
    return job_id


def claim(driver: Driver, max_running: int | None = None) -> UUID | None:
    row = driver.do(moves.claim_next("worker", 15, LastTry(1), max_running))
    return row and row[0].id


def positions(driver: Driver, max_running: int | None = None) -> list[UUID]:
    """The queued jobs, by position."""
    queued = driver.session.scalars(select(Job.id).where(Job.state == "queued")).all()
    found = dict(driver.session.execute(reads.queue_positions(queued, max_running)).all())
    assert sorted(found.values()) == list(range(1, len(queued) + 1))
    return sorted(found, key=lambda job: found[job])


def claims(driver: Driver) -> list[UUID]:
    """All that can be claimed, in that order; none of them ends meanwhile."""
    return list(iter(lambda: claim(driver), None))


def test_the_oldest_goes_first_and_priority_is_a_head_start(driver: Driver):
    low = submit(driver, priority="low", age=500)
    normal = submit(driver, age=100)
    high = submit(driver, priority="high")
    second = submit(driver, age=50)
    expected = [high, normal, second, low]
    assert positions(driver) == expected
    assert claims(driver) == expected


def test_no_priority_starves(driver: Driver):
    bonus = (queue_order.BONUS["high"] - queue_order.BONUS["low"]).total_seconds()
    young = submit(driver, priority="low", age=bonus - 60)
    old = submit(driver, priority="low", age=bonus + 60)
    high = submit(driver, priority="high")
    assert claims(driver) == [old, high, young]


def test_keys_take_turns_however_many_jobs_each_has(driver: Driver):
    greedy, modest = key(driver), key(driver)
    first, *others = [submit(driver, greedy, age=100 - n) for n in range(4)]
    mine = [submit(driver, modest, age=10 - n) for n in range(2)]
    nobodys = [submit(driver, age=5 - n) for n in range(2)]
    expected = [first, mine[0], nobodys[0], others[0], mine[1], nobodys[1], *others[1:]]
    assert positions(driver) == expected
    assert claims(driver) == expected


def test_positions_are_the_order_of_claims_from_any_state(driver: Driver):
    """Whatever runs already, and whatever was submitted when and how."""
    owners = [None, key(driver), key(driver)]
    priorities: list[Priority] = ["low", "normal", "high"]
    for n in range(18):
        submit(driver, owners[n % 7 % 3], priorities[n % 5 % 3], age=(n * 37) % 101)
    for _ in range(5):
        claim(driver)
    expected = positions(driver)
    assert claims(driver) == expected


def test_a_key_at_its_limit_is_passed_over(driver: Driver):
    limited = key(driver, max_running=1)
    first, second = submit(driver, limited, age=100), submit(driver, limited, age=90)
    free = [submit(driver, age=20 - n) for n in range(3)]
    assert positions(driver) == [first, *free, second]
    assert claims(driver) == [first, *free]
    assert positions(driver) == [second]
    driver.do(moves.succeed(first, 1, "exact"))
    assert claims(driver) == [second]


def test_the_servers_limit_holds_for_keys_that_have_none_of_their_own(driver: Driver):
    limited, wider = key(driver), key(driver, max_running=2)
    first, second = submit(driver, limited, age=100), submit(driver, limited, age=90)
    wide = [submit(driver, wider, age=50 - n) for n in range(3)]
    free = [submit(driver, age=20 - n) for n in range(3)]  # nobody's: as many as there are
    expected = [first, wide[0], free[0], wide[1], free[1], free[2], second, wide[2]]
    assert positions(driver, max_running=1) == expected
    taken = list(iter(lambda: claim(driver, max_running=1), None))
    assert taken == expected[:6]
    assert driver.session.scalar(queue_order.left("worker", LastTry(1))), (
        "without the server's limit the second one could run"
    )
    assert not driver.session.scalar(queue_order.left("worker", LastTry(1), max_running=1))
    assert positions(driver, max_running=1) == [second, wide[2]]
    assert claim(driver) == second


def test_jobs_of_models_that_a_worker_leaves_to_others(driver: Driver):
    """Each row: what a worker claims one after another, of jobs that were queued a second ago."""
    jobs = {name: submit(driver, age=-n) for n, name in enumerate(("a", "b", "c"))}
    for name, job in jobs.items():
        second = update(Job).where(Job.id == job).values(model=name, updated_at=func.now() - timedelta(seconds=1))
        driver.do(second.returning(Job.id))

    def claimed(models: Models) -> str | None:
        row = driver.do(moves.claim_next("worker", 15, LastTry(1), models=models))
        assert driver.session.scalar(queue_order.left("worker", LastTry(1), models=models)) in (False, row is not None)
        if row is None:
            return None
        driver.do(moves.release(row[0].id, row[0].attempt))
        again = update(Job).where(Job.id == row[0].id).values(updated_at=func.now() - timedelta(seconds=1))
        driver.do(again.returning(Job.id))
        return row[0].model

    assert claimed(Models()) == "a"
    assert claimed(Models(served={"b", "d"})) == "b"
    assert claimed(Models(served={"d"})) is None
    assert claimed(Models(never={"a", "b"})) == "c"
    assert claimed(Models(at_first={"a"}, seconds=60)) == "b"
    assert claimed(Models(at_first={"a"}, seconds=0.5)) == "a"
    assert claimed(Models(served={"a"}, at_first={"a"}, seconds=60)) is None
    assert driver.session.scalar(queue_order.waits(Models(served={"c"})))
    assert not driver.session.scalar(queue_order.waits(Models(served={"d"})))


def test_claims_at_once_keep_to_the_limit_and_take_each_job_once(driver: Driver, database: Engine):
    limited = key(driver, max_running=3)
    for _ in range(8):
        submit(driver, limited)
        submit(driver)

    def take(_: int) -> list[UUID]:
        taken: list[UUID] = []
        with Session(database) as session:
            while True:
                session.execute(queue_order.claims())
                row = session.execute(moves.claim_next("worker", 15, LastTry(1))).one_or_none()
                session.commit()
                if row is None:
                    return taken
                taken.append(row[0].id)

    with ThreadPoolExecutor(6) as pool:
        taken = Counter(job for jobs in pool.map(take, range(6)) for job in jobs)
    assert set(taken.values()) == {1}
    owners = driver.session.execute(select(Job.key_id, func.count()).where(Job.state == "running").group_by(Job.key_id))
    assert dict(owners.all()) == {limited: 3, None: 8}


def test_a_job_that_is_locked_or_late_is_passed_over(driver: Driver, database: Engine):
    late, locked, other = submit(driver, age=30), submit(driver, age=20), submit(driver, age=10)
    driver.do(update(Job).where(Job.id == late).values(deadline_at=func.now()).returning(Job.id))
    with Session(database) as canceling:
        canceling.execute(select(Job).where(Job.id == locked).with_for_update())
        assert claim(driver) == other
    assert claim(driver) == locked
    assert claim(driver) is None


def test_what_is_handed_back_keeps_its_place_and_what_is_refined_gets_a_new_one(driver: Driver):
    old, new = submit(driver, age=50), submit(driver, age=20)
    claim(driver)
    driver.do(moves.release(old, 1))
    assert positions(driver) == [old, new]
    driver.do(moves.claim(old, "worker", 15))
    driver.save(old, attempt=2, final=True)
    driver.do(moves.succeed(old, 2, "converged"))
    driver.do(moves.refine(old, driver.generation(tolerance=0.001)))
    assert positions(driver) == [new, old]


@pytest.mark.parametrize("room", [1, 3])
def test_a_full_queue_takes_no_more(driver: Driver, room: int):
    def offer() -> bool:
        return driver.do(moves.submit(uuid4(), driver.generation(), max_queued=room)) is not None

    assert [offer() for _ in range(room + 2)] == [True] * room + [False] * 2
    assert driver.session.scalar(reads.queue_depth()) == room
    claimed = claim(driver)
    assert claimed
    assert offer()
    driver.save(claimed, final=True)
    driver.do(moves.succeed(claimed, 1, "converged"))
    finer = driver.generation(tolerance=0.001)
    assert driver.do(moves.refine(claimed, finer, room)) is None
    assert driver.do(moves.refine(claimed, finer, room + 1))
