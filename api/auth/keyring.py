"""The API keys that work, read from the database and kept in memory for a few seconds.

All keys are read by one query. So a request with a key takes no query, and requests with unknown keys share one: no
number of them makes the server run more than one query at a time. A revoked key stops working within ``FRESH_SECONDS``,
in every API process. A new key works at once, because an unknown key makes the server read them again.
"""

import asyncio
import logging
import time

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.auth.caller import ANYBODY, Caller
from api.problems import Unauthorized
from store import keys
from store.tables import ApiKey

FRESH_SECONDS = 3.0
CHALLENGE = 'Bearer realm="underpaint"'

log = logging.getLogger(__name__)


class Keyring:
    """Finds the caller that a key belongs to.

    Args:
        sessions: sessions that may write.
        exposed: whether other machines can reach the server. Then it serves nobody before it has a key.
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession], exposed: bool) -> None:
        self._sessions = sessions
        self._exposed = exposed
        self._working: dict[str, ApiKey] = {}
        self._needed = False
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._noted: dict[str, float] = {}

    @property
    def needed(self) -> bool:
        """Whether a key is needed, as of the last reading."""
        return self._needed

    async def required(self) -> bool:
        """Whether a key is needed, as of a few seconds ago at most, or because others can reach the server."""
        await self._as_of(time.monotonic() - FRESH_SECONDS)
        return self._needed or self._exposed

    async def caller(self, presented: str | None) -> Caller:
        """The caller that presents this key, or none.

        Raises:
            Unauthorized: a key is needed, and this one does not work.
        """
        now = time.monotonic()
        await self._as_of(now - FRESH_SECONDS)
        if not self._needed:
            if self._exposed:
                raise _refused(
                    "This server has no keys yet, and others can reach it: make one with `underpaint keys create NAME`."
                )
            return ANYBODY
        if presented is None:
            raise _refused("Send a key in the header Authorization: Bearer KEY.")
        fingerprint = keys.hashed(presented)
        if fingerprint not in self._working:
            await self._as_of(now)
        if (key := self._working.get(fingerprint)) is None:
            raise _refused(
                "The key in the header Authorization does not work: it was revoked, has expired, or never was one.",
                ', error="invalid_token"',
            )
        await self._note(key, now)
        return Caller(key)

    async def _as_of(self, moment: float) -> None:
        """Make sure that the keys were read at ``moment`` or later. All who ask meanwhile share one query, and its
        error."""
        while self._read_at < moment:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)

    async def _read(self) -> None:
        begun = time.monotonic()
        async with self._sessions.begin() as session:
            working = (await session.scalars(keys.working())).all()
            # Keys that no longer work count, too: a server whose only key was revoked does not become open again.
            needed = bool(working) or bool(await session.scalar(keys.count()))
        self._working = {key.hash: key for key in working}
        self._needed = needed
        self._read_at = begun

    async def _note(self, key: ApiKey, now: float) -> None:
        """Note in the database that a key is used, at most once in ``keys.USE_NOTED_EVERY``."""
        if now - self._noted.get(key.hash, float("-inf")) < keys.USE_NOTED_EVERY.total_seconds():
            return
        self._noted[key.hash] = now
        async with self._sessions.begin() as session:
            await session.execute(keys.used(key.id))


def _refused(detail: str, why: str = "") -> Unauthorized:
    return Unauthorized(detail, headers={"WWW-Authenticate": CHALLENGE + why})
