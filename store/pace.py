"""How fast the queue has moved of late."""

from datetime import timedelta

from sqlalchemy import Select, func, literal, select

from store.tables import jobs

SECONDS = 3600.0
JOBS = 100


def pace() -> Select[int, float | None, int]:
    """(jobs, seconds, running): how many of the newest ``JOBS`` jobs that succeeded within ``SECONDS`` there are; for
    how long at least one of these ran, which with several workers or threads is less than what their runs took
    together; and how many jobs run now.

    ``seconds / jobs`` is the time from one end to the next while there was something to do. When there were fewer jobs
    at once than there could have been, that is longer than it need be: it errs to the safe side.
    """
    newest = (
        select(jobs.c.claimed_at.label("began"), jobs.c.finished_at.label("ended"))
        .where(
            jobs.c.finished_at > func.now() - literal(timedelta(seconds=SECONDS)),
            jobs.c.state == "succeeded",  # others may have waited between their last run and their end
            jobs.c.claimed_at.is_not(None),
        )
        .order_by(jobs.c.finished_at.desc())
        .limit(JOBS)
        .subquery()
    )
    # Time that an earlier one has covered is not counted again. With none before, `greatest` ignores the null.
    covered = func.max(newest.c.ended).over(order_by=(newest.c.began, newest.c.ended), rows=(None, -1))
    begins = func.greatest(newest.c.began, covered)
    spans = select(func.greatest(func.extract("epoch", newest.c.ended - begins), 0.0).label("seconds")).subquery()
    running = select(func.count()).where(jobs.c.state == "running").scalar_subquery()
    return select(func.count(), func.sum(spans.c.seconds), running).select_from(spans)
