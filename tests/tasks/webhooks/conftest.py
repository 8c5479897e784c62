"""Webhook senders in this process, and receivers on this machine."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
import trustme
from sqlalchemy import Engine

from contract.fields import Generation, Handling, StoredWebhook
from store import moves
from store.database import async_engine, async_sessions
from store.settings import WebhookSettings
from tasks.metrics_janitor import JanitorMetrics
from tasks.webhooks.fairness import AT_ONCE
from tasks.webhooks.post import Poster
from tasks.webhooks.sender import Sender
from tests.tasks.jobs import Jobs
from tests.tasks.webhooks.receiver import Receiver

BASE = "https://pictures.example"


class Sending:
    """A sender that runs in a thread with its own event loop."""

    def __init__(self, url: str, settings: WebhookSettings, tls: ssl.SSLContext) -> None:
        self._url, self._settings, self._tls = url, settings, tls
        self._metrics = JanitorMetrics()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._run())
        self._thread = Thread(target=self._end_of_task)
        self._thread.start()

    def counted(self) -> dict[str, float]:
        """The number of attempts by outcome."""
        (family,) = self._metrics.webhook_attempts.collect()
        return {sample.labels["outcome"]: sample.value for sample in family.samples}

    def close(self) -> None:
        """End the sender. May be called more than once."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(20)

    def _end_of_task(self) -> None:
        try:
            self._loop.run_until_complete(asyncio.gather(self._task, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        engine = async_engine(self._url)
        try:
            async with Poster(
                self._settings.targets, self._settings.webhook_timeout_seconds, AT_ONCE, self._tls
            ) as poster:
                await Sender(async_sessions(engine), self._settings, poster, self._metrics).run()
        finally:
            await engine.dispose()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def receiver(authority: trustme.CA) -> Iterator[Callable[..., Receiver]]:
    """Makes receivers, by default at 127.0.0.1 and with TLS."""
    with ExitStack() as stack:

        def make(host: str = "127.0.0.1", tls: bool = True, name: str | None = None) -> Receiver:
            certificate = authority.issue_cert(name or host) if tls else None
            made = Receiver(host, certificate)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def sending(postgres_url: str, database: Engine, authority: trustme.CA) -> Iterator[Callable[..., Sending]]:
    """Starts senders, which may reach this machine unless the settings forbid it."""
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    with ExitStack() as stack:

        def start(**fields: Any) -> Sending:
            settings = {"webhook_allow": "127.0.0.0/8", "webhook_timeout_seconds": 5, **fields}
            made = Sending(postgres_url, WebhookSettings(**settings), tls)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def jobs(database: Engine, generation: Callable[..., Generation]) -> Jobs:
    return Jobs(database, generation)


@pytest.fixture
def hooked(jobs: Jobs, generation: Callable[..., Generation]) -> Callable[..., UUID]:
    """Submits jobs with a webhook for the given kinds of events."""

    def submit(url: str, *kinds: Any, key_id: UUID | None = None) -> UUID:
        job_id = uuid4()
        webhook = StoredWebhook(url=url, events=list(kinds or ["state"]), base=BASE)
        jobs.do(moves.submit(job_id, generation(), Handling.model_construct(webhook=webhook), key_id))
        return job_id

    return submit
