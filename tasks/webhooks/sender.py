"""The sender: claims deliveries that are due from the outbox, and attempts them.

Any number of senders work together. If a sender dies between an attempt and its commit, the claim expires, and the
delivery is attempted again under the same ``webhook-id``: at least once.
"""

import asyncio
import random
import time

from celery.utils.log import get_logger
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from contract.fields import StoredWebhook
from contract.words import DeliveryState
from store import deliveries, reads, webhook_secrets
from store.links import JobLinks
from store.outages import DATABASE_AWAY, reason
from store.settings import WebhookSettings
from store.tables import Event
from tasks.metrics_janitor import JanitorMetrics
from tasks.outages import Outage
from tasks.webhooks import message
from tasks.webhooks.fairness import Fairness
from tasks.webhooks.post import Outcome, Poster

POLL_SECONDS = 1.0
# How much longer a claim lasts than an attempt may take: time for the database before and after.
SLACK_SECONDS = 15.0
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 5.0, 4.0, 6 * 3600.0

log = get_logger(__name__)


def pause(attempts: int) -> float:
    """Seconds from the end of attempt number ``attempts`` (from 1) to the next: 5 s, 20 s, 80 s, 5 min, 21 min,
    85 min, 6 h, each up to a quarter longer or shorter, so that deliveries that fail together are spread."""
    return min(FIRST_PAUSE * GROWTH ** (attempts - 1), LONGEST_PAUSE) * random.uniform(0.75, 1.25)


class Sender:
    """Sends deliveries that are due, until it is canceled."""

    def __init__(
        self,
        sessions: async_sessionmaker[AsyncSession],
        settings: WebhookSettings,
        poster: Poster,
        metrics: JanitorMetrics,
    ) -> None:
        self._sessions = sessions
        self._settings = settings
        self._poster = poster
        self._metrics = metrics
        self._fairness = Fairness()
        self._done = asyncio.Event()
        self._outage = Outage(log, "webhooks wait: PostgreSQL is away: %s", "webhooks: PostgreSQL is back")

    async def run(self) -> None:
        """Send until canceled; attempts in progress are dropped then, and repeated by the next sender."""
        async with asyncio.TaskGroup() as attempts:
            while True:
                self._done.clear()
                claimed = None if self._fairness.full else await self._claim()
                if claimed is None:
                    await self._news()
                    continue
                self._fairness.begin(claimed.host, claimed.key_id)
                attempts.create_task(self._deliver(claimed))

    async def _claim(self) -> deliveries.Claimed | None:
        hosts = self._fairness.busy_hosts()
        sharing, alone = (self._fairness.busy_keys(sharing=sharing) for sharing in (True, False))
        seconds = self._settings.webhook_timeout_seconds + SLACK_SECONDS
        try:
            async with self._sessions.begin() as session:
                claimed = (await session.execute(deliveries.claim(hosts, seconds, sharing))).one_or_none()
                if claimed is None and sharing != alone:
                    claimed = (await session.execute(deliveries.claim(hosts, seconds, alone))).one_or_none()
        except DATABASE_AWAY as error:
            self._outage.failed(error)
            return None
        self._outage.succeeded()
        return claimed

    async def _news(self) -> None:
        """Wait until there may be something to claim: for a while, or until an attempt has ended."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._done.wait()
        except TimeoutError:
            pass

    async def _deliver(self, claimed: deliveries.Claimed) -> None:
        answered: bool | None = None
        try:
            sent = await self._message(claimed)
            if sent is not None:
                outcome = await self._poster.post(*sent)
                answered = None if outcome.refused else outcome.status is not None
                await self._settle(claimed, outcome)
        except DATABASE_AWAY as error:
            log.warning("delivery %s is made again later: PostgreSQL is away: %s", claimed.id, reason(error))
        except Exception:  # others go on, and this one is attempted again when its claim has expired
            log.exception("delivery %s could not be made", claimed.id)
        finally:
            self._fairness.end(claimed.host, claimed.key_id, answered)
            self._done.set()

    async def _message(self, claimed: deliveries.Claimed) -> tuple[str, dict[str, str], bytes] | None:
        """The URL, the headers and the body; None if the job has just been deleted."""
        async with self._sessions() as session:
            event: Event | None = await session.scalar(deliveries.event(claimed.job_id, claimed.seq))
            if event is None:
                return None
            images = (await session.scalars(reads.images([claimed.job_id]))).all() if event.kind == "done" else []
        webhook = StoredWebhook.model_validate(claimed.webhook)
        body = message.body(JobLinks(webhook.base), event, images)
        secrets = claimed.webhook_secret or self._settings.webhook_secret or await self._kept()
        return webhook.url, message.headers(secrets.split(), claimed.id, int(time.time()), body), body

    async def _kept(self) -> str:
        """The server's secret from the database, created when it is first needed."""
        async with self._sessions.begin() as session:
            if found := await session.scalar(webhook_secrets.kept()):
                return found
            await session.execute(webhook_secrets.keep(webhook_secrets.new_secret()))
            return (await session.scalars(webhook_secrets.kept())).one()

    async def _settle(self, claimed: deliveries.Claimed, outcome: Outcome) -> None:
        result = {"status": outcome.status, "error": outcome.error}
        async with self._sessions.begin() as session:
            if outcome.error is None:
                settling = deliveries.settle(claimed.id, claimed.attempts, state="delivered", **result)
            elif outcome.gone or claimed.attempts >= self._settings.webhook_attempts:
                settling = deliveries.settle(claimed.id, claimed.attempts, state="failed", **result)
            else:
                again = {"seconds": pause(claimed.attempts), "max_age_seconds": self._settings.webhook_max_age_seconds}
                settling = deliveries.retry(claimed.id, claimed.attempts, **again, **result)
            settled = (await session.execute(settling)).one_or_none()
            if outcome.gone:
                for statement in deliveries.disable(claimed.job_id, outcome.error or ""):
                    await session.execute(statement)
        if settled:  # else the claim has expired, and another sender counts its attempt
            self._metrics.webhook_attempts.labels(_counted(outcome, settled.state)).inc()
        if outcome.error is not None:
            log.warning(
                "job %s: attempt %d at delivery %s: %s", claimed.job_id, claimed.attempts, claimed.id, outcome.error
            )


def _counted(outcome: Outcome, state: DeliveryState) -> str:
    """The metric's name for the outcome of an attempt after which the delivery is in this state."""
    if outcome.refused:
        return "refused"
    if outcome.gone:
        return "disabled"
    return "retried" if state == "pending" else state
