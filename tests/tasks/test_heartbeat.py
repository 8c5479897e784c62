"""Leases are renewed for as long as the heartbeat runs."""

from datetime import UTC, datetime

from sqlalchemy import update

from store import moves
from store.settings import JobSettings
from store.tables import Job
from tests.tasks.inside import Start
from tests.tasks.jobs import Jobs
from tests.until import until

PAST = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_lease_is_renewed_again_and_again(jobs: Jobs, process: Start) -> None:
    made = process("one", jobs=JobSettings(heartbeat_seconds=0.05))
    job_id = jobs.submit()
    jobs.do(moves.claim(job_id, "one", 60))
    made.worker.leases.take(job_id, 1)
    made.heartbeat.start()
    for _ in range(2):
        jobs.do(update(Job).where(Job.id == job_id).values(lease_expires_at=PAST).returning(Job.id))
        until(lambda: (jobs.get(job_id).lease_expires_at or PAST) > PAST)
    made.heartbeat.end()
    made.heartbeat.join()
