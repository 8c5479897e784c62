"""Which jobs a worker leaves to others: those of models that it does not run, or that a free worker has in memory.

A message calls any worker. One that leaves a job to others passes the call on, so that it reaches them. What workers
have in memory is read from their presence in Redis; what they run is counted in PostgreSQL, because a call that is not
passed on is lost if a worker that seemed busy is not.
"""

from collections.abc import Mapping
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
class Others:
    """The other workers that are there.

    Attributes:
        models: the models that each runs, by the worker's name.
        held: those of them that it has in memory, or is about to.
        concurrency: how many jobs it runs at once.
    """

    models: Mapping[str, set[str]]
    held: Mapping[str, set[str]]
    concurrency: Mapping[str, int]


def others(worker: Worker) -> Others:
    """The other workers; none where it makes no difference, or while Redis is away."""
    infos: Mapping[str, Mapping[str, Any]] = {}
    if len(worker.catalog) > 1 or worker.settings.models:
        try:
            infos = workers.alive(worker.redis)
        except REDIS_AWAY:
            infos = {}
    there = {name: info for name, info in infos.items() if name != worker.name}
    return Others(
        {name: set(info.get("models", ())) for name, info in there.items()},
        {name: {model for model, state in _states(info) if state in HELD} for name, info in there.items()},
        {name: info.get("concurrency", 0) for name, info in there.items()},
    )


def route(worker: Worker, session: Session, there: Others) -> tuple[Models, set[str]]:
    """Which jobs the worker claims, and the models of those that it leaves to other workers that are free."""
    busy = dict(session.execute(queue_order.busy_workers()).all()) if there.models else {}
    free = [name for name in there.models if busy.get(name, 0) < there.concurrency[name]]
    mine = set(worker.catalog)
    holds = {model for model, state in _states({"states": worker.engines.states()}) if state in HELD}
    elsewhere = set[str]().union(*there.models.values()) - mine
    at_first = (set[str]().union(*(there.held[name] for name in free)) & mine) - holds
    served = mine if worker.settings.models else None
    models = Models(served, elsewhere, at_first, worker.jobs.heartbeat_seconds)
    return models, set[str]().union(*(there.models[name] - mine for name in free)) | at_first


def leave(worker: Worker) -> None:
    """Call another worker, a moment later."""
    sleep(PAUSE)
    if not worker.leases.closing:
        pass_on()


def _states(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(model, found["state"]) for model, found in info.get("states", {}).items()]
