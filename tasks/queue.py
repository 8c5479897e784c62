"""What calls the workers: the Celery app's configuration, and how to send a call.

A message says "look for work" and nothing else. PostgreSQL has the queue and says whose turn it is: a worker that was
called claims jobs until there is none to claim. So a message that is lost, doubled or late is harmless: the janitor
sends lost ones again, and one too many finds nothing.

The API imports this module, so nothing heavy is imported here: neither torch nor the code that runs a job.
"""

from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers

from store import logs
from store.redis_clients import TIMEOUTS
from store.settings import JobSettings, LogSettings, StoreSettings

QUEUE = "underpaint"
WORK = "underpaint.work"
SWEEP = "underpaint.sweep"

ONE_TRY = {"max_retries": 0, "socket_timeout": 0.4, "socket_connect_timeout": 0.4}
POOL_SECONDS = 0.4


class QueueUnavailable(Exception):
    """The broker did not take the call within about a second. The job stays queued and unsent: the janitor calls."""


def _configuration() -> dict[str, Any]:
    return {
        "broker_url": StoreSettings().redis_url,
        "broker_transport_options": TIMEOUTS | {"socket_keepalive": True},  # by default it would wait forever
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker outlives any outage of the broker
        "task_default_queue": QUEUE,
        "task_ignore_result": True,
        # A message is acknowledged when it is taken: the leases say who runs what, not the broker.
        "task_acks_late": False,
        # A busy worker must not hold messages that an idle one could follow.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # The janitor works in the process of beat: see there.
        "beat_scheduler": "tasks.janitor:Clock",
        "beat_schedule": {"janitor": {"task": SWEEP, "schedule": JobSettings().heartbeat_seconds}},
    }


app = Celery("underpaint", set_as_current=False)
# A promise, kept when the configuration is first needed: importing this module reads no settings.
app.add_defaults(_configuration)


@celeryd_init.connect  # a worker warns of things before it sets up its log
@setup_logging.connect
def _configure_logging(loglevel: int | None = None, **_: Any) -> None:
    """Of workers and of beat, which both begin with this module."""
    logs.configure(LogSettings(), loglevel)


def enqueue() -> None:
    """Call a worker for one more job. Blocks: for milliseconds, or for about a second where the broker is gone.

    Raises:
        QueueUnavailable: the broker is gone; nothing is lost, see there.
    """
    try:
        # Not the app's own pool: there callers queue up without bound behind others who wait for a broker that is gone.
        pool = producers[app.connection_for_write(transport_options=ONE_TRY)]
        with pool.acquire(block=True, timeout=POOL_SECONDS) as producer:
            app.send_task(WORK, producer=producer, retry=False)
    except (OperationalError, LimitExceeded, OSError) as error:
        raise QueueUnavailable(f"the broker did not take the call: {error!r}") from error
