"""A worker's presence in Redis: it announces itself, and listens for jobs whose flags changed.

While Redis is away, others do not see the worker and it gets no messages, but the heartbeat still reads the flags.
"""

from collections.abc import Callable
from importlib.metadata import version
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any

from celery.utils.log import get_logger

from store import wakeups, workers
from store.outages import REDIS_AWAY
from tasks.dispatch import pass_on
from tasks.outages import Outage
from tasks.worker import Worker

VERSION = version("underpaint")
PAUSE = 1.0  # s, between attempts while Redis is away

log = get_logger(__name__)


class Presence(Thread):
    """Announces the worker at every heartbeat, and calls `wake` when the flags of one of its jobs changed."""

    def __init__(self, worker: Worker, wake: Callable[[], None]) -> None:
        super().__init__(name="presence", daemon=True)
        self._worker = worker
        self._wake = wake
        self._announcing = Lock()
        self._ended = False

    def end(self) -> None:
        """End the announcement now, and for good; the thread ends at its next heartbeat."""
        with self._announcing:
            self._ended = True
            try:
                workers.withdraw(self._worker.redis, self._worker.name)
            except REDIS_AWAY as error:
                log.warning("presence not withdrawn, it expires: %s", error)

    def run(self) -> None:
        """The thread."""
        outage = Outage(log, "nobody sees this worker while Redis is away: %s", "presence: Redis is back")
        while not self._ended:
            try:
                with self._worker.redis.pubsub(ignore_subscribe_messages=True) as messages:
                    messages.subscribe(wakeups.CONTROL)
                    self._announce()
                    self._wake()  # messages until now were missed
                    pass_on()  # for jobs of models that no worker ran until now
                    outage.succeeded()
                    self._listen(messages)
            except REDIS_AWAY as error:
                outage.failed(error)
                sleep(PAUSE)

    def _listen(self, messages: Any) -> None:
        seconds = self._worker.jobs.heartbeat_seconds
        due = monotonic() + seconds
        while not self._ended:
            message = messages.get_message(timeout=max(0.0, due - monotonic()))
            if message is not None and self._is_for_us(message["data"]):
                self._wake()
            if monotonic() >= due:
                self._announce()
                due = monotonic() + seconds

    def _is_for_us(self, data: bytes) -> bool:
        try:
            return self._worker.leases.holds(wakeups.decode_control(data))
        except ValueError:
            return False

    def _announce(self) -> None:
        worker = self._worker
        info = {
            "version": VERSION,
            "concurrency": worker.concurrency,
            "jobs": len(worker.leases.all()),
            "models": list(worker.catalog),
            "engines": worker.engines.statistics(),
            "states": worker.engines.states(),
        }
        with self._announcing:
            if not self._ended:
                workers.announce(worker.redis, worker.name, info, 3 * worker.jobs.heartbeat_seconds)
