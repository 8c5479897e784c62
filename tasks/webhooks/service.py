"""Runs the sender in a thread with its own event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

from celery.utils.log import get_logger

from store.database import async_engine, async_sessions
from store.settings import StoreSettings, WebhookSettings
from tasks.metrics_janitor import JanitorMetrics
from tasks.webhooks.fairness import AT_ONCE
from tasks.webhooks.post import Poster
from tasks.webhooks.sender import Sender

CONNECTIONS = 4  # to the database
AGAIN_SECONDS = 5.0
STOP_SECONDS = 5.0

log = get_logger(__name__)


class Service:
    """Sends webhooks from `start` to `stop`."""

    def __init__(self, store: StoreSettings, settings: WebhookSettings, metrics: JanitorMetrics) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        # A daemon, so that a process that ends without `stop` does not wait for it. The next sender does the rest.
        self._thread = Thread(target=lambda: asyncio.run(self._main()), name="webhooks", daemon=True)
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. May be called repeatedly."""
        if self._running:
            loop, stop = self._running
            if self._thread.is_alive():
                loop.call_soon_threadsafe(stop.set)
                self._thread.join(STOP_SECONDS)

    async def _main(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        # Names are resolved in threads. A name server that does not answer blocks one for longer than an attempt.
        names = ThreadPoolExecutor(2 * AT_ONCE, thread_name_prefix="names")
        loop.set_default_executor(names)
        self._running = loop, stop
        sending = asyncio.create_task(self._send())
        await stop.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        names.shutdown(wait=False, cancel_futures=True)

    async def _send(self) -> None:
        engine = async_engine(self._store.database_url, pool_size=CONNECTIONS)
        try:
            while True:
                try:
                    async with Poster(
                        self._settings.targets, self._settings.webhook_timeout_seconds, AT_ONCE
                    ) as poster:
                        await Sender(async_sessions(engine), self._settings, poster, self._metrics).run()
                except Exception:
                    log.exception("no webhooks are sent for %g s", AGAIN_SECONDS)
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            await engine.dispose()
