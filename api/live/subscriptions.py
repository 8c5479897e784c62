"""Subscriptions to the news of a job, for clients with an open stream or a held response.

Each API process has one subscriber in Redis. It hears which job has a new event, and wakes the clients that subscribed
to that job. A waiting client is an object in memory: it holds no connection to the database or to Redis.

Messages only say "look again" and may be lost, with Redis or without it. So one query every ``POLL_SECONDS`` asks the
database for the newest event of all jobs with subscriptions.

A client subscribes first and reads then, so that it cannot miss what happens in between.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import anyio
import redis.asyncio
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.http.prefer import Wait
from api.live.single_flight import SingleFlight
from store import reads, wakeups
from store.outages import REDIS_AWAY

POLL_SECONDS = 2.0
PING_SECONDS = 5.0  # of silence, after which the subscriber checks whether Redis still answers
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # s, between attempts to connect while Redis is away


How = Literal["stream", "held"]
"""A client waits with an open stream, or for a response that is held."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class Look(NamedTuple, Generic[T]):
    """What a query found, when ``seq`` was the newest event of the job. All clients that ask the same share it."""

    seq: int
    found: T


class Subscription:
    """One client that waits for news of a job.

    Attributes:
        seen: the newest event that the client knows; the client sets it.
        left: whether the client has disconnected.
    """

    def __init__(self, how: How) -> None:
        self.how: How = how
        self.seen = 0
        self.left = False
        self._news = asyncio.Event()

    async def news(self, seconds: float) -> bool:
        """Wait until there may be an event after ``seen``. Returns False when ``seconds`` are over, or the client has
        disconnected."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return not self.left

    def wake(self, seq: int | None = None) -> None:
        """Wake the client if it does not know event ``seq``, or in any case if the number is unknown (None)."""
        if seq is None or seq > self.seen:
            self._news.set()

    def leave(self) -> None:
        """The client has disconnected."""
        self.left = True
        self._news.set()


class Subscriptions:
    """All subscriptions of this process."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        reading: async_sessionmaker[AsyncSession],
        following: async_sessionmaker[AsyncSession],
        single: async_sessionmaker[AsyncSession],
    ) -> None:
        """
        Args:
            reading: for requests that are answered at once.
            following: for clients that wait.
            single: for clients that wait, and for the poll; each statement is a transaction of its own.
        """
        self._redis = client
        self._reading = reading
        self._single = single
        self.single_flight = SingleFlight(following, single)
        self._subscriptions: dict[UUID, set[Subscription]] = {}
        self._subscribed = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen for news while the context lasts."""
        # A task group of anyio cancels until the tasks end. `Task.cancel` does so once, and in Python 3.11
        # `asyncio.wait_for`, with which the Redis client sends, may swallow that.
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            tasks.start_soon(self._poll)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    @contextmanager
    def subscribe(self, job: UUID, how: How = "stream") -> Iterator[Subscription]:
        """Subscribe to the news of a job while the context lasts."""
        subscription = Subscription(how)
        self._subscriptions.setdefault(job, set()).add(subscription)
        self._subscribed.set()
        try:
            yield subscription
        finally:
            subscriptions = self._subscriptions[job]
            subscriptions.remove(subscription)
            if not subscriptions:
                del self._subscriptions[job]

    def clients(self) -> dict[How, int]:
        """The number of waiting clients, by how they wait."""
        counted: dict[How, int] = {"stream": 0, "held": 0}
        for subscription in self._all():
            counted[subscription.how] += 1
        return counted

    async def until_enough(
        self,
        job: UUID,
        request: Request,
        wait: Wait,
        name: Hashable,
        query: Callable[[AsyncSession], Awaitable[Look[T]]],
        enough: Callable[[T], bool],
    ) -> T:
        """Hold a response: repeat ``query`` after all news of the job until its result is enough for this client, the
        wait is over, or the client has disconnected. Returns the last result. The request's body must have been read.

        Args:
            name: names the query, see ``SingleFlight``.
        """
        if not wait.seconds:
            async with self._reading.begin() as session:
                return (await query(session)).found
        with self.subscribe(job, "held") as subscription:
            leaving = asyncio.create_task(_leave_with(request, subscription))
            try:
                more = True
                while True:
                    seq, found = await self.single_flight.run(name, query)
                    if enough(found) or not more or subscription.left:
                        return found
                    subscription.seen = seq
                    more = await subscription.news(wait.left)
            finally:
                leaving.cancel()
                with suppress(asyncio.CancelledError):
                    await leaving

    def _all(self) -> Iterator[Subscription]:
        for subscriptions in self._subscriptions.values():
            yield from subscriptions

    async def _listen(self) -> None:
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
                            self._connected(again=pause > FIRST_PAUSE)
                            pause = FIRST_PAUSE
            except REDIS_AWAY as error:
                if pause == FIRST_PAUSE:
                    log.warning("news of jobs come late while Redis is away: %s", error)
                await asyncio.sleep(random.uniform(pause / 2, pause))
                pause = min(2 * pause, LONGEST_PAUSE)
            except Exception:
                log.exception("the subscriber failed, and starts again")
                await asyncio.sleep(LONGEST_PAUSE)

    def _connected(self, again: bool) -> None:
        """Wake everybody: messages that were sent before the connection are lost."""
        if again:
            log.info("news of jobs: Redis is back")
        for subscription in self._all():
            subscription.wake()

    def _hear(self, message: bytes) -> None:
        try:
            wakeup = wakeups.decode(message)
        except ValueError as error:
            log.warning("%s", error)
            return
        for subscription in self._subscriptions.get(wakeup.job, ()):
            subscription.wake(wakeup.seq)

    async def _poll(self) -> None:
        away = False
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._subscriptions:
                self._subscribed.clear()
                await self._subscribed.wait()
                continue
            try:
                await self._ask()
            except (SQLAlchemyError, OSError) as error:
                if not away:
                    log.warning("news of jobs come late while PostgreSQL is away: %s", error)
                away = True
            except Exception:
                log.exception("the poll for news of jobs failed")
            else:
                away = False

    async def _ask(self) -> None:
        """Wake all clients whose job has a newer event in the database, or is not there any more."""
        asked = list(self._subscriptions)
        async with self._single.begin() as session:
            newest = dict((await session.execute(reads.seqs(asked))).all())
        for job in asked:
            for subscription in self._subscriptions.get(job, ()):
                subscription.wake(newest.get(job))


async def _leave_with(request: Request, subscription: Subscription) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    subscription.leave()
