"""The recent throughput of the queue."""

from datetime import timedelta

from sqlalchemy import Select, func, literal, select

from store.tables import jobs

SECONDS = 3600.0
JOBS = 100


def pace() -> Select[int, float | None, int]:
    """(jobs, seconds, running): the number of jobs that succeeded within ``SECONDS``, at most the newest ``JOBS``; how
    long at least one of these ran (with several workers less than the sum of their runs); how many jobs run now.

    ``seconds / jobs`` is the average time between two ends while the queue was busy. If fewer jobs ran at once than
    possible, it is too long: a safe estimate.
    """
    newest = (
        select(jobs.c.claimed_at.label("began"), jobs.c.finished_at.label("ended"))
        .where(
            jobs.c.finished_at > func.now() - literal(timedelta(seconds=SECONDS)),
            jobs.c.state == "succeeded",  # a failed or canceled one may have waited between its last run and its end
            jobs.c.claimed_at.is_not(None),
        )
        .order_by(jobs.c.finished_at.desc())
        .limit(JOBS)
        .subquery()
    )
    # Time that an earlier job covers is not counted twice. The first job has no `covered`: `greatest` ignores nulls.
    covered = func.max(newest.c.ended).over(order_by=(newest.c.began, newest.c.ended), rows=(None, -1))
    begins = func.greatest(newest.c.began, covered)
    spans = select(func.greatest(func.extract("epoch", newest.c.ended - begins), 0.0).label("seconds")).subquery()
    running = select(func.count()).where(jobs.c.state == "running").scalar_subquery()
    return select(func.count(), func.sum(spans.c.seconds), running).select_from(spans)
