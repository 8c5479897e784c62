"""So many at once, and the others after them, in the order in which they came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import TimeoutError as PoolTimeout

PATIENCE = 30.0  # s, as long as others wait for a connection to the database


class Admission:
    """Admission at what needs the database."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A turn, as soon as there is one.

        Raises:
            PoolTimeout: there was none for long, as the database does not answer those who have theirs.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self._free.acquire()
        except TimeoutError:
            raise PoolTimeout(f"no turn for {PATIENCE:g} s") from None
        try:
            yield
        finally:
            self._free.release()
