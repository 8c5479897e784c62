"""Looks into the database that many wait for at once, and share."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

READERS = 4  # so many look at once: a crowd that is woken leaves connections to everybody else

T = TypeVar("T")


class SingleFlight:
    """Those who wait for news of a job are woken together, and want to know the same.

    Whoever asks what is about to be looked up shares what is found; once a look has begun it is too old for those who
    ask later, as what they were woken for may have happened since. So nobody gets less than there was when they asked.
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession], single: async_sessionmaker[AsyncSession]) -> None:
        """``sessions`` see the database as it was at one moment; ``single`` are for looks that need not."""
        self._sessions = sessions
        self._single = single
        self._readers = asyncio.Semaphore(READERS)
        self._next: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self, what: Hashable, look: Callable[[AsyncSession], Awaitable[T]], *, single: bool = False) -> T:
        """What ``look`` finds. ``what`` names it: whoever gives the same name gets the same. ``single``: each of its
        statements may see the database as it is then, which is quicker."""
        task: asyncio.Task[T] | None = self._next.get(what)
        if task is None:
            sessions = self._single if single else self._sessions
            task = self._next[what] = asyncio.create_task(self._turn(what, look, sessions))
        return await asyncio.shield(task)  # one who leaves does not break it off for the others

    async def _turn(
        self, what: Hashable, look: Callable[[AsyncSession], Awaitable[T]], sessions: async_sessionmaker[AsyncSession]
    ) -> T:
        async with self._readers:
            del self._next[what]
            async with sessions.begin() as session:
                return await look(session)
