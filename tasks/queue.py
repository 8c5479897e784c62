"""The Celery app's configuration, and the message that calls a worker.

A message means "look for work" and carries nothing else. The queue and its order are in PostgreSQL: a worker that gets
a message claims jobs until there is none to claim. So a lost, repeated or late message is harmless: the janitor resends
lost ones, and a worker with a surplus message finds nothing.

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
from tasks import broker
from tasks.broker import QUEUE, WORK

SWEEP = "underpaint.sweep"

ONE_TRY = {"max_retries": 0, "socket_timeout": 0.4, "socket_connect_timeout": 0.4}
POOL_SECONDS = 0.4


class QueueUnavailable(Exception):
    """The broker did not accept the message within about a second. The job stays queued and unsent for the janitor."""


def _configuration() -> dict[str, Any]:
    return {
        "broker_url": StoreSettings().redis_url,
        "broker_transport_options": TIMEOUTS | {"socket_keepalive": True},  # by default it would wait forever
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker survives any outage of the broker
        "task_default_queue": QUEUE,
        "task_ignore_result": True,
        # A message is acknowledged on receipt: leases record which worker runs what, not the broker.
        "task_acks_late": False,
        # A busy worker must not hold messages that an idle one could handle.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # The janitor runs in the process of beat, see there.
        "beat_scheduler": "tasks.janitor:Clock",
        "beat_schedule": {"janitor": {"task": SWEEP, "schedule": JobSettings().heartbeat_seconds}},
    }


broker.use()
app = Celery("underpaint", set_as_current=False)
# Evaluated when the configuration is first needed: importing this module reads no settings.
app.add_defaults(_configuration)


@celeryd_init.connect  # a worker logs warnings before it sets up logging
@setup_logging.connect
def _configure_logging(loglevel: int | None = None, **_: Any) -> None:
    """Set up logging of workers and beat, which both import this module first."""
    logs.configure(LogSettings(), loglevel)


def enqueue() -> None:
    """Send a message for one job. Blocks for milliseconds, or for about a second if the broker is away.

    Raises:
        QueueUnavailable: the broker is away, full or read-only; nothing is lost, see there.
    """
    try:
        # Not the app's own pool, in which callers wait without bound behind others while the broker is away.
        pool = producers[app.connection_for_write(transport_options=ONE_TRY)]
        with pool.acquire(block=True, timeout=POOL_SECONDS) as producer:
            app.send_task(WORK, producer=producer, retry=False)
    except (OperationalError, LimitExceeded, OSError) as error:
        raise QueueUnavailable(f"the broker did not take the call: {error!r}") from error
