"""Whose turn it is: the order in which queued jobs are claimed.

Between owners it is fair: a job of the owner with the fewest running jobs goes first. An owner is an API key; all jobs
that were submitted without one have one owner. Among those jobs the rank decides: when the job was accepted, moved by
its priority. So a high job goes before normal ones that were accepted up to ten minutes earlier, and none waits for
ever: what is old enough has a better rank than anything that comes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Integer,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    false,
    func,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import aliased

from contract.words import Priority
from store.tables import Job, api_keys, jobs

# How much better the rank of a priority is than that of ``normal``.
BONUS: dict[Priority, timedelta] = {
    "low": timedelta(minutes=-10),
    "normal": timedelta(0),
    "high": timedelta(minutes=10),
}

# Jobs of an owner that are looked at for one claim: some may be locked for a moment, as by a cancellation.
LOOKAHEAD = 8

# Stands for the owner of the jobs without a key, where it must equal itself.
_NO_KEY = UUID(int=0)

# Names the lock of ``claims``; any number that nothing else in this database locks.
_CLAIMS = 0x756E6465


def rank(priority: ColumnElement[Priority]) -> ColumnElement[timedelta]:
    """The rank of a job that is accepted now."""
    return func.now() - case(BONUS, value=priority)


def claims() -> Select[None]:
    """Lock out other claims until the transaction ends, so that the next one counts what this one has claimed: no
    owner gets more than its turn or its limit, however many workers ask at once."""
    return select(func.pg_advisory_xact_lock(_CLAIMS))


def first(max_running: int | None = None) -> CTE:
    """The job whose turn it is, locked; no row where none can be claimed. Jobs whose deadline has passed and those of
    a key with as many jobs running as may be are passed over, and so are those that somebody else has locked.
    ``max_running``: the limit of keys that have none of their own."""
    return _next(max_running).with_for_update(of=jobs, skip_locked=True).cte("first")


@dataclass(frozen=True)
class LastTry:
    """What a claim says of its worker, so that the last try of a job runs alone.

    Attributes:
        crashes: a job that has crashed so often runs alone: no such job is claimed while the worker runs others, and no
            other one while it runs such a job.
        held: what the worker's process holds, whatever the database says of it. A process that froze for longer than
            its lease still computes what it has lost until it has noticed.
    """

    crashes: int
    held: Collection[UUID] = ()

    def params(self, worker: str) -> dict[str, Any]:
        """The values of ``fits``."""
        return {"worker_name": worker, "last_try": self.crashes, "held": list(self.held)}


def fits() -> ColumnElement[bool]:
    """Whether the worker may run a job beside what it runs: see ``LastTry``, whose ``params`` it takes."""
    crashes, held = bindparam("last_try", type_=Integer()), cast(bindparam("held", type_=ARRAY(Uuid())), ARRAY(Uuid()))
    mine = jobs.alias("mine")
    runs = and_(mine.c.state == "running", mine.c.worker == bindparam("worker_name", type_=jobs.c.worker.type))
    beside = select(mine.c.id).where(
        or_(runs, mine.c.id == any_(held)), or_(jobs.c.crashes >= crashes, mine.c.crashes >= crashes)
    )
    # What is held may have been deleted, so that no row tells of it.
    free = or_(jobs.c.crashes < crashes, func.cardinality(held) == 0)
    return and_(free, ~beside.correlate(jobs).exists())


def left(worker: str, last_try: LastTry, max_running: int | None = None) -> Select[bool]:
    """Whether the worker can claim a job, though maybe not before whoever has locked it lets it go. ``max_running``:
    see ``first``."""
    return _left(max_running).params(last_try.params(worker))


@cache
def _left(max_running: int | None) -> Select[bool]:
    return select(select(jobs.c.id).where(jobs.c.id.in_(_next(max_running)), fits()).exists())


def _next(max_running: int | None) -> Select[UUID]:
    most = _most(max_running)
    busy = _running()
    waits = and_(jobs.c.state == "queued", or_(jobs.c.deadline_at.is_(None), jobs.c.deadline_at > func.now()))
    heads = select(jobs.c.id, jobs.c.rank_at).where(waits).order_by(jobs.c.rank_at, jobs.c.id).limit(LOOKAHEAD)

    of_key = heads.where(jobs.c.key_id == api_keys.c.id).lateral()
    running = func.coalesce(busy.c.running, 0)
    free = or_(most.is_(None), running < most)
    keys = api_keys.outerjoin(busy, busy.c.key_id == api_keys.c.id)
    with_key = select(of_key, running.label("running")).select_from(keys.join(of_key, true())).where(free)

    keyless = select(busy.c.running).where(busy.c.key_id.is_(None)).scalar_subquery()
    without = heads.where(jobs.c.key_id.is_(None)).subquery()
    next_ones = union_all(with_key, select(without, func.coalesce(keyless, 0))).subquery()
    return (
        select(jobs.c.id)
        .join(next_ones, next_ones.c.id == jobs.c.id)
        .where(jobs.c.state == "queued")
        .order_by(next_ones.c.running, next_ones.c.rank_at, next_ones.c.id)
        .limit(1)
    )


@cache  # it takes longer to put together than to run
def line(max_running: int | None = None) -> CTE:
    """(id, position) of every queued job; 1 is the next to be claimed.

    It is the order in which they would be claimed if no running job ended and none was submitted. When jobs end, the
    turns of their owners come earlier; jobs of a key that has reached its limit are counted after all others.
    ``max_running``: see ``first``.
    """
    busy = _running()
    waiting = aliased(Job)
    nth = func.row_number().over(partition_by=waiting.key_id, order_by=(waiting.rank_at, waiting.id))
    # Every claim makes one more of the owner's jobs run, so its n-th one has n - 1 more before it than its first.
    running = func.coalesce(busy.c.running, 0) + nth - 1
    turns = (
        select(
            waiting.id,
            waiting.rank_at,
            running.label("running"),
            # Jobs without a key have no limit, not even that of keys that have none of their own.
            and_(api_keys.c.id.is_not(None), func.coalesce(running >= _most(max_running), false())).label("blocked"),
        )
        .outerjoin(busy, func.coalesce(busy.c.key_id, _NO_KEY) == func.coalesce(waiting.key_id, _NO_KEY))
        .outerjoin(api_keys, api_keys.c.id == waiting.key_id)
        .where(waiting.state == "queued")
        .subquery()
    )
    order = (turns.c.blocked, turns.c.running, turns.c.rank_at, turns.c.id)
    return select(turns.c.id, func.row_number().over(order_by=order).label("position")).cte("line")


def _most(max_running: int | None) -> ColumnElement[int | None]:
    """How many jobs of a key may run at once; null: any number."""
    return func.coalesce(api_keys.c.max_running, max_running)


def _running() -> CTE:
    """How many jobs of each owner run; no row for one that has none."""
    running = select(jobs.c.key_id, func.count().label("running")).where(jobs.c.state == "running")
    return running.group_by(jobs.c.key_id).cte("busy")
