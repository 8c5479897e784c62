"""Which jobs a worker leaves to others: those of models that it does not run, or that a free worker has in memory.

A message calls any worker. One that leaves a job to others passes the call on, so that it reaches them. What workers
have in memory is read from their presence in Redis; what they run is counted in PostgreSQL, because a call that is not
passed on is lost if a worker that seemed busy is not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import sleep
from typing import Any

from sqlalchemy.orm import Session

from store import queue_order, workers
from store.outages import REDIS_AWAY
from store.queue_order import Models
from tasks.dispatch import pass_on
from tasks.worker import Worker

HELD = {"ready", "preparing"}
PAUSE = 0.2  # s; how often a call goes round until a worker that is to take it does


@dataclass(frozen=True)
class Other:
    """Another worker that is there.

    Attributes:
        models: the models that it runs.
        held: those of them that it has in memory, or is about to.
        concurrency: how many jobs it runs at once.
    """

    models: set[str]
    held: set[str]
    concurrency: int


def others(worker: Worker) -> Mapping[str, Other]:
    """The other workers, by name; none where it makes no difference, or while Redis is away."""
    if len(worker.catalog) == 1 and not worker.settings.models:
        return {}
    try:
        infos = workers.alive(worker.redis)
    except REDIS_AWAY:
        return {}
    return {
        name: Other(set(info.get("models", ())), _held(info.get("states", {})), info.get("concurrency", 0))
        for name, info in infos.items()
        if name != worker.name
    }


def route(worker: Worker, session: Session, there: Mapping[str, Other]) -> tuple[Models, set[str]]:
    """Which jobs the worker claims, and the models of those that it leaves to other workers that are free."""
    busy = dict(session.execute(queue_order.busy_workers()).all()) if there else {}
    free = [other for name, other in there.items() if busy.get(name, 0) < other.concurrency]
    mine = set(worker.catalog)
    never = _union(other.models for other in there.values()) - mine
    at_first = (_union(other.held for other in free) & mine) - _held(worker.engines.states())
    served = mine if worker.settings.models else None
    elsewhere = (_union(other.models for other in free) - mine) | at_first
    return Models(served, never, at_first, worker.jobs.heartbeat_seconds), elsewhere


def leave(worker: Worker) -> None:
    """Call another worker, a moment later."""
    sleep(PAUSE)
    if not worker.leases.closing:
        pass_on()


def _held(states: Mapping[str, Any]) -> set[str]:
    return {model for model, found in states.items() if found["state"] in HELD}


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set[str]().union(*sets)
