"""How the threads of jobs learn that they must stop, and what they still get then."""

from uuid import UUID, uuid4

import pytest

from sampler import Status
from store import moves
from store.settings import JobSettings
from tasks.engines import ImageUpdate
from tasks.leases import Lease, Leases, Stop
from tests.tasks.inside import Start
from tests.tasks.jobs import Jobs


def update(image: int) -> ImageUpdate:
    return ImageUpdate(image, (), None, Status.RUNNING, None)


@pytest.fixture
def lease() -> Lease:
    return Lease(uuid4(), 1)


@pytest.mark.parametrize("first", [Stop.CANCELED, Stop.OVERDUE, Stop.SHUTDOWN])
@pytest.mark.parametrize("second", list(Stop))
def test_the_first_reason_to_stop_counts_unless_the_lease_is_lost(lease: Lease, first: Stop, second: Stop) -> None:
    lease.end(first)
    lease.end(second)
    assert lease.stop is (Stop.LOST if second is Stop.LOST else first)
    lease.end(Stop.LOST)
    lease.end(first)
    assert lease.stop is Stop.LOST


@pytest.mark.parametrize(
    ("stop", "got"), [(Stop.CANCELED, []), (Stop.LOST, []), (Stop.OVERDUE, [0, 1]), (Stop.SHUTDOWN, [0, 1])]
)
def test_what_was_computed_before_the_stop_is_kept_if_the_job_is(lease: Lease, stop: Stop, got: list[int]) -> None:
    for image in (0, 1):
        lease.deliver(update(image))
    lease.end(stop)
    assert [each.image for each in lease.updates()] == got


def test_a_stop_wakes_the_thread_that_waits_for_an_update(lease: Lease) -> None:
    updates = lease.updates()
    lease.deliver(update(3))
    assert next(updates).image == 3
    lease.end(Stop.OVERDUE)
    assert next(updates, None) is None


def test_an_acceptance_is_passed_on_whenever_it_comes(lease: Lease) -> None:
    calls: list[str] = []
    lease.when_accepted(lambda: calls.append("engine"))
    assert calls == []
    lease.accept()
    assert calls == ["engine"]
    early = Lease(uuid4(), 1)
    early.accept()
    early.when_accepted(lambda: calls.append("early"))
    assert calls == ["engine", "early"]


def test_a_job_that_is_claimed_again_here_has_lost_its_older_lease() -> None:
    leases, job = Leases(), uuid4()
    older, other = leases.take(job, 1), leases.take(uuid4(), 1)
    newer = leases.take(job, 2)
    assert (older.stop, other.stop, newer.stop) == (Stop.LOST, None, None)
    with leases.holding(older):
        pass
    assert leases.all() == [other, newer]
    assert leases.holds(job)


def test_a_process_that_ends_hands_back_what_it_holds_and_what_it_has_just_claimed() -> None:
    leases = Leases()
    before = leases.take(uuid4(), 1)
    assert not leases.closing
    assert not leases.overdue
    leases.close(3600)
    after = leases.take(uuid4(), 1)
    assert (before.stop, after.stop) == (Stop.SHUTDOWN, Stop.SHUTDOWN)
    assert leases.closing
    assert not leases.overdue
    leases.close(-1)
    assert leases.overdue


@pytest.mark.parametrize(
    ("asked", "stop", "accepted"),
    [
        ((), None, False),
        (("accept",), None, True),
        (("cancel",), Stop.CANCELED, False),
        (("accept", "cancel"), Stop.CANCELED, False),
        (("overdue",), Stop.OVERDUE, False),
        (("overdue", "accept"), None, True),  # it is about to end by itself
        (("overdue", "cancel"), Stop.CANCELED, False),
        (("rescue",), Stop.LOST, False),
        (("delete",), Stop.LOST, False),
    ],
)
def test_a_heartbeat_passes_on_what_is_asked_of_a_job(
    jobs: Jobs, process: Start, asked: tuple[str, ...], stop: Stop | None, accepted: bool
) -> None:
    worker = process(jobs=JobSettings(lease_seconds=60, heartbeat_seconds=20))
    job_id, other_id = jobs.submit(), jobs.submit()
    lease, other = (worker.worker.leases.take(each, 1) for each in (job_id, other_id))
    for each in (job_id, other_id):
        jobs.do(moves.claim(each, worker.worker.name, 30))
    calls: list[UUID] = []
    for each in (lease, other):
        each.when_accepted(lambda each=each: calls.append(each.job_id))
    before = jobs.get(job_id).lease_expires_at
    for what in asked:
        jobs.ask(job_id, what)
    worker.heartbeat.beat()
    assert (lease.stop, other.stop) == (stop, None)
    assert calls == ([job_id] if accepted else [])
    if stop is not Stop.LOST:
        after = jobs.get(job_id).lease_expires_at
        assert before is not None
        assert after is not None
        assert (after - before).total_seconds() > 25
    for each in (lease, other):
        with worker.worker.leases.holding(each):
            pass
