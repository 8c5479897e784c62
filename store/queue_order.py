"""The order in which queued jobs are claimed.

It is fair between owners: a job of the owner with the fewest running jobs goes first. An owner is an API key; all jobs
without a key have one common owner. Among the jobs of an owner the rank decides: the time of acceptance, shifted by the
priority. So a high job goes before normal jobs that were accepted up to ten minutes earlier, and no job waits for ever:
once it is old enough, it has a better rank than any new one.
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
    Interval,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    false,
    func,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import aliased

from contract.words import Priority
from store.tables import Job, api_keys, jobs

# How much earlier than ``normal`` a priority ranks.
BONUS: dict[Priority, timedelta] = {
    "low": timedelta(minutes=-10),
    "normal": timedelta(0),
    "high": timedelta(minutes=10),
}

# How many jobs of an owner one claim considers: some may be locked for a moment, for example by a cancellation.
LOOKAHEAD = 8

# The owner of jobs without a key, in comparisons: null does not equal null.
_NO_KEY = UUID(int=0)

# The advisory lock of ``claims``: any number that nothing else in this database locks ("unde" in ASCII).
_CLAIMS = 0x756E6465


def rank(priority: ColumnElement[Priority]) -> ColumnElement[timedelta]:
    """The rank of a job that is accepted now."""
    return func.now() - case(BONUS, value=priority)


def claims() -> Select[None]:
    """Lock out other claims until the transaction ends, so that the next claim counts this one. No owner gets more than
    its turn or its limit, however many workers claim at once."""
    return select(func.pg_advisory_xact_lock(_CLAIMS))


def first(max_running: int | None = None) -> CTE:
    """The next job to claim, locked; no row if none can be claimed. Skips jobs whose deadline has passed, jobs of a key
    that has reached its limit, jobs of models that the worker leaves to others (``Models``, which has the parameters),
    and jobs that another transaction has locked. ``max_running``: the limit of keys without a limit of their own."""
    return _next(max_running).with_for_update(of=jobs, skip_locked=True).cte("first")


@dataclass(frozen=True)
class LastTry:
    """What a claim must know of its worker, so that the last try of a job runs alone.

    Attributes:
        crashes: a job with this many crashes runs alone: it is not claimed while the worker runs other jobs, and no
            other job is claimed while the worker runs it.
        held: the jobs that the worker's process computes, whatever their state in the database. A process that froze
            for longer than its lease still computes jobs that it has lost, until its next heartbeat.
    """

    crashes: int
    held: Collection[UUID] = ()

    def params(self, worker: str) -> dict[str, Any]:
        """The values of ``fits``."""
        return {"worker_name": worker, "last_try": self.crashes, "held": list(self.held)}


@dataclass(frozen=True)
class Models:
    """Jobs of which models a worker claims, and which it leaves to other workers.

    Attributes:
        served: the only models whose jobs it claims; None: of all models.
        never: models that it does not have and other workers serve.
        at_first: models that other, free workers have in memory and it has not: it leaves their jobs to them for so
            long after they were queued.
        seconds: how long that is.
    """

    served: Collection[str] | None = None
    never: Collection[str] = ()
    at_first: Collection[str] = ()
    seconds: float = 0

    def params(self) -> dict[str, Any]:
        """The values of ``_claimable``."""
        return {
            "served": None if self.served is None else list(self.served),
            "never": list(self.never),
            "at_first": list(self.at_first),
            "first_seconds": timedelta(seconds=self.seconds),
        }


EVERY_MODEL = Models()


def _claimable() -> ColumnElement[bool]:
    """Whether the worker claims jobs of the job's model. See ``Models``, which has the parameters."""

    def names(parameter: str) -> ColumnElement[Any]:
        return cast(bindparam(parameter, type_=ARRAY(Text())), ARRAY(Text()))

    served = names("served")
    young = jobs.c.updated_at > func.now() - bindparam("first_seconds", type_=Interval())
    return and_(
        or_(served.is_(None), jobs.c.model == any_(served)),
        not_(jobs.c.model == any_(names("never"))),
        not_(and_(jobs.c.model == any_(names("at_first")), young)),
    )


def busy_workers() -> Select[str, int]:
    """(worker, how many jobs it runs) of each worker that runs any."""
    return select(jobs.c.worker, func.count()).where(jobs.c.state == "running").group_by(jobs.c.worker)


def waits(models: Models, max_running: int | None = None) -> Select[bool]:
    """Whether there is a job that a free worker could claim. ``max_running``: see ``first``."""
    return _waits(max_running).params(models.params())


@cache
def _waits(max_running: int | None) -> Select[bool]:
    return select(_next(max_running).exists())


def fits() -> ColumnElement[bool]:
    """Whether the worker may run a job together with those that it runs. See ``LastTry``, which has the parameters."""
    crashes, held = bindparam("last_try", type_=Integer()), cast(bindparam("held", type_=ARRAY(Uuid())), ARRAY(Uuid()))
    mine = jobs.alias("mine")
    runs = and_(mine.c.state == "running", mine.c.worker == bindparam("worker_name", type_=jobs.c.worker.type))
    beside = select(mine.c.id).where(
        or_(runs, mine.c.id == any_(held)), or_(jobs.c.crashes >= crashes, mine.c.crashes >= crashes)
    )
    # A job that is held may have been deleted from the database.
    free = or_(jobs.c.crashes < crashes, func.cardinality(held) == 0)
    return and_(free, ~beside.correlate(jobs).exists())


def left(worker: str, last_try: LastTry, max_running: int | None = None, models: Models = EVERY_MODEL) -> Select[bool]:
    """Whether there is a job for the worker, which another transaction may have locked. ``max_running``: see
    ``first``."""
    return _left(max_running).params(last_try.params(worker) | models.params())


@cache
def _left(max_running: int | None) -> Select[bool]:
    return select(select(jobs.c.id).where(jobs.c.id.in_(_next(max_running)), fits()).exists())


def _next(max_running: int | None) -> Select[UUID]:
    most = _most(max_running)
    busy = _running()
    in_time = or_(jobs.c.deadline_at.is_(None), jobs.c.deadline_at > func.now())
    queued = and_(jobs.c.state == "queued", in_time, _claimable())
    heads = select(jobs.c.id, jobs.c.rank_at).where(queued).order_by(jobs.c.rank_at, jobs.c.id).limit(LOOKAHEAD)

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


@cache  # SQLAlchemy needs longer to build it than PostgreSQL to run it
def line(max_running: int | None = None) -> CTE:
    """(id, position) of every queued job; 1 is the next to be claimed.

    It is the order of claims if no running job ends and none is submitted. When a job ends, the other jobs of its owner
    move forward. Jobs of a key that has reached its limit come after all others.
    ``max_running``: see ``first``.
    """
    busy = _running()
    waiting = aliased(Job)
    nth = func.row_number().over(partition_by=waiting.key_id, order_by=(waiting.rank_at, waiting.id))
    # Each claim adds a running job to the owner: at its n-th claim it has n - 1 more than at its first.
    running = func.coalesce(busy.c.running, 0) + nth - 1
    turns = (
        select(
            waiting.id,
            waiting.rank_at,
            running.label("running"),
            # Jobs without a key have no limit, not even the default of keys.
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
    """How many jobs of each owner run; no row for an owner without running jobs."""
    running = select(jobs.c.key_id, func.count().label("running")).where(jobs.c.state == "running")
    return running.group_by(jobs.c.key_id).cte("busy")
