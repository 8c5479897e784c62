"""Looks into the database that many wait for at once, and share."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

READERS = 4  # so many look at once: a crowd that is woken leaves connections to everybody else

T = TypeVar("T")


class Looking:
    """Those who wait for news of a job are woken together, and want to know the same.

    Whoever asks what is about to be looked up shares what is found; once a look has begun it is too old for those who
    ask later, as what they were woken for may have happened since. So nobody gets less than there was when they asked.
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions
        self._readers = asyncio.Semaphore(READERS)
        self._next: dict[Hashable, asyncio.Task[Any]] = {}

    async def look(self, what: Hashable, look: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """What ``look`` finds. ``what`` names it: whoever gives the same name gets the same."""
        task: asyncio.Task[T] | None = self._next.get(what)
        if task is None:
            task = self._next[what] = asyncio.create_task(self._turn(what, look))
        return await asyncio.shield(task)  # one who leaves does not break it off for the others

    async def _turn(self, what: Hashable, look: Callable[[AsyncSession], Awaitable[T]]) -> T:
        async with self._readers:
            del self._next[what]
            async with self._sessions.begin() as session:
                return await look(session)
