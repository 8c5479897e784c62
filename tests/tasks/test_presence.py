"""That others see a worker for as long as it lives."""

import redis

from store import workers
from store.settings import JobSettings
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
