"""That others see a worker for as long as it lives."""

from typing import Any

import redis

from store import workers
from store.settings import JobSettings
from tasks.engines import Engines
from tasks.presence import Presence
from tests.tasks.inside import Start
from tests.until import until


def test_a_worker_is_announced_again_at_every_heartbeat(process: Start, valkey: redis.Redis) -> None:
    worker = process("one", jobs=JobSettings(heartbeat_seconds=0.05)).worker
    presence = Presence(worker, lambda: None)
    presence.start()
    for _ in range(3):
        until(lambda: "one" in workers.alive(valkey))
        workers.withdraw(valkey, "one")
    presence.end()
    presence.join()


def test_a_worker_that_ends_while_it_announces_itself_is_gone(process: Start, valkey: redis.Redis) -> None:
    class Ending(Engines):
        """The statistics of an announcement are read when the worker ends."""

        def statistics(self) -> dict[str, Any]:
            presence.end()
            return {}

    worker = process("one", engines=Ending(None, "cpu")).worker
    presence = Presence(worker, lambda: None)
    presence.start()
    presence.join()
    assert workers.alive(valkey) == {}
