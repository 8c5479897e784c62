"""Clients that wait for news of a job, and how they hear of it.

One subscriber a process hears what workers and other processes say on Redis, and wakes those who wait for that job. A
client that waits is an object in memory: it holds no connection, neither to the database nor to Redis. Messages say
"look again" and may be lost, with Redis or without it, so every few seconds one query asks the database for the newest
event of all jobs that somebody waits for.

Who waits subscribes first and reads then, so that nothing falls between the two.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import redis
import redis.asyncio
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.http.prefer import Wait
from api.live.single_flight import SingleFlight
from store import reads, wakeups

POLL_SECONDS = 2.0  # between two questions to the database
PING_SECONDS = 5.0  # of silence, after which the subscriber sees whether Redis is still there
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # s, between attempts while Redis is away

AWAY = (redis.RedisError, OSError)

How = Literal["stream", "held"]
"""A client waits with an open stream, or for an answer that is held."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class Look(NamedTuple, Generic[T]):
    """What there was to be found at event ``seq`` of a job. Those who wait for the same share it."""

    seq: int
    found: T


class Subscription:
    """One client that waits for news of a job. ``seen`` is the newest event that it knows of; it sets that itself.
    ``left`` tells that the client is gone."""

    def __init__(self, how: How) -> None:
        self.how: How = how
        self.seen = 0
        self._news = asyncio.Event()
        self.left = False

    async def news(self, seconds: float) -> bool:
        """Wait until there may be something newer than ``seen``. False: ``seconds`` are over, or the client left."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return not self.left

    def tell(self, seq: int | None = None) -> None:
        """There is an event ``seq``; None: nobody knows, look."""
        if seq is None or seq > self.seen:
            self._news.set()

    def leave(self) -> None:
        """The client is gone."""
        self.left = True
        self._news.set()


class Subscriptions:
    """Everybody in this process who waits for news of a job."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        reading: async_sessionmaker[AsyncSession],
        following: async_sessionmaker[AsyncSession],
        single: async_sessionmaker[AsyncSession],
    ) -> None:
        """``reading`` is for requests that are answered at once, ``following`` for those who wait; so is ``single``,
        each of whose statements is a transaction of its own."""
        self._redis = client
        self._reading = reading
        self._single = single
        self.single_flight = SingleFlight(following, single)
        self._subscriptions: dict[UUID, set[Subscription]] = {}
        self._somebody = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear of news while the context lasts."""
        tasks = [asyncio.create_task(self._subscribe()), asyncio.create_task(self._poll())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @contextmanager
    def subscribe(self, job: UUID, how: How = "stream") -> Iterator[Subscription]:
        """Be told of news of a job while the context lasts."""
        subscription = Subscription(how)
        self._subscriptions.setdefault(job, set()).add(subscription)
        self._somebody.set()
        try:
            yield subscription
        finally:
            subscriptions = self._subscriptions[job]
            subscriptions.remove(subscription)
            if not subscriptions:
                del self._subscriptions[job]

    def clients(self) -> dict[How, int]:
        """How many wait, by how they do."""
        counted: dict[How, int] = {"stream": 0, "held": 0}
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                counted[subscription.how] += 1
        return counted

    async def until_enough(
        self,
        job: UUID,
        request: Request,
        wait: Wait,
        what: Hashable,
        look: Callable[[AsyncSession], Awaitable[Look[T]]],
        enough: Callable[[T], bool],
    ) -> T:
        """What ``look`` finds, which is called again after every news until that is enough for this client, the wait is
        over, or the client has left. ``what`` names it: see ``SingleFlight``. The request's body must have been read.
        """
        if not wait.seconds:
            async with self._reading.begin() as session:
                return (await look(session)).found
        with self.subscribe(job, "held") as subscription:
            leaving = asyncio.create_task(_leave_with(request, subscription))
            try:
                more = True
                while True:
                    seq, found = await self.single_flight.run(what, look)
                    if enough(found) or not more or subscription.left:
                        return found
                    subscription.seen = seq
                    more = await subscription.news(wait.left)
            finally:
                leaving.cancel()
                with suppress(asyncio.CancelledError):
                    await leaving

    def _tell(self, wakeup: wakeups.Wakeup) -> None:
        for subscription in self._subscriptions.get(wakeup.job, ()):
            subscription.tell(wakeup.seq)

    async def _subscribe(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._redis.pubsub() as messages:
                    await messages.subscribe(wakeups.JOBS)
                    while True:
                        message = await messages.get_message(timeout=PING_SECONDS)
                        if message is None:
                            await messages.ping()
                        elif message["type"] == "message":
                            self._hear(message["data"])
                        elif message["type"] == "subscribe":
                            self._subscribed(again=pause > FIRST_PAUSE)
                            pause = FIRST_PAUSE
            except AWAY as error:
                if pause == FIRST_PAUSE:
                    log.warning("news of jobs come late while Redis is away: %s", error)
                await asyncio.sleep(random.uniform(pause / 2, pause))
                pause = min(2 * pause, LONGEST_PAUSE)
            except Exception:
                log.exception("the subscriber failed, and starts again")
                await asyncio.sleep(LONGEST_PAUSE)

    def _subscribed(self, again: bool) -> None:
        """A new connection: what was said until now was missed."""
        if again:
            log.info("news of jobs: Redis is back")
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.tell()

    def _hear(self, message: bytes) -> None:
        try:
            self._tell(wakeups.decode(message))
        except ValueError as error:
            log.warning("%s", error)

    async def _poll(self) -> None:
        away = False
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._subscriptions:
                self._somebody.clear()
                await self._somebody.wait()
                continue
            try:
                await self._ask()
            except (SQLAlchemyError, OSError) as error:
                if not away:
                    log.warning("those who wait cannot ask PostgreSQL: %s", error)
                away = True
            except Exception:
                log.exception("the poll for those who wait failed")
            else:
                away = False

    async def _ask(self) -> None:
        """Tell everybody what the database knows of their jobs; of a job that is gone, to look for themselves."""
        asked = list(self._subscriptions)
        async with self._single.begin() as session:
            newest = dict((await session.execute(reads.seqs(asked))).all())
        for job in asked:
            for subscription in self._subscriptions.get(job, ()):
                subscription.tell(newest.get(job))


async def _leave_with(request: Request, subscription: Subscription) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    subscription.leave()
