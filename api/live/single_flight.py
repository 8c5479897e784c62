"""One query for all clients that ask the same at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

READERS = 4  # queries at once: a crowd that is woken together must leave connections to the other requests

T = TypeVar("T")


class SingleFlight:
    """Runs queries for clients that are woken together and want to know the same.

    A client joins a query that has not begun. A query that has begun is too old for it: what woke the client may have
    been committed since. So nobody gets less than there was when they asked.
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession], single: async_sessionmaker[AsyncSession]) -> None:
        """
        Args:
            sessions: sessions whose transactions see the database at one moment.
            single: sessions in which each statement is a transaction of its own, which is quicker.
        """
        self._sessions = sessions
        self._single = single
        self._readers = asyncio.Semaphore(READERS)
        self._next: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self, name: Hashable, query: Callable[[AsyncSession], Awaitable[T]], *, single: bool = False) -> T:
        """The result of ``query``, or of one with the same name that has not begun yet.

        Args:
            single: run it in a ``single`` session.
        """
        task: asyncio.Task[T] | None = self._next.get(name)
        if task is None:
            sessions = self._single if single else self._sessions
            task = self._next[name] = asyncio.create_task(self._turn(name, query, sessions))
        return await asyncio.shield(task)  # a client that disconnects does not cancel it for the others

    async def _turn(
        self, name: Hashable, query: Callable[[AsyncSession], Awaitable[T]], sessions: async_sessionmaker[AsyncSession]
    ) -> T:
        async with self._readers:
            del self._next[name]
            async with sessions.begin() as session:
                return await query(session)
