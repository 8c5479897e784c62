"""Admission of submissions: a few at once, the others in the order in which they came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import TimeoutError as PoolTimeout

TIMEOUT = 30.0  # s, as for a connection from the pool (store.database)


class Admission:
    """Admits ``at_once`` at a time to work that needs the database."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it while the context lasts.

        Raises:
            PoolTimeout: there was none for ``TIMEOUT`` seconds: the database does not answer those who have one.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._free.acquire()
        except TimeoutError:
            raise PoolTimeout(f"no turn for {TIMEOUT:g} s") from None
        try:
            yield
        finally:
            self._free.release()
