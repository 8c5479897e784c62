"""The keys that work, as the database has them, held in memory for a few seconds.

All of them are read at once. So a request with a key costs no query, and one with a made-up key costs at most its share
of one: whoever sends many of them cannot make the server ask more than one question at a time. A key that is revoked
stops to work within ``REMEMBERED`` seconds, in every API process; a new one works at once, because a key that is not
known is looked for anew.
"""

import asyncio
import logging
import time

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.auth.caller import ANYBODY, Caller
from api.problems import Unauthorized
from store import keys
from store.tables import ApiKey

REMEMBERED = 3.0  # s
CHALLENGE = 'Bearer realm="underpaint"'

log = logging.getLogger(__name__)


class Keyring:
    """Tells who asks.

    Args:
        sessions: sessions that may write.
        exposed: whether others than this machine can reach the server: then it serves nobody before it has a key.
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
        """Whether a key is needed, as far as is known."""
        return self._needed

    async def caller(self, presented: str | None) -> Caller:
        """Who sent a request that came with this key, or with none.

        Raises:
            Unauthorized: a key is needed, and this is none that works.
        """
        now = time.monotonic()
        await self._as_of(now - REMEMBERED)
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
        """Know the keys as they were at ``moment`` or later. Of all who ask meanwhile, one asks the database, and what
        that ends in is the answer to all."""
        while self._read_at < moment:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)

    async def _read(self) -> None:
        begun = time.monotonic()
        async with self._sessions.begin() as session:
            working = (await session.scalars(keys.working())).all()
            # Keys that work no longer count: a server whose only key was revoked is not open again.
            needed = bool(working) or bool(await session.scalar(keys.count()))
        self._working = {key.hash: key for key in working}
        self._needed = needed
        self._read_at = begun

    async def _note(self, key: ApiKey, now: float) -> None:
        """Note in the database that a key is used, now and then."""
        if now - self._noted.get(key.hash, float("-inf")) < keys.USE_NOTED_EVERY.total_seconds():
            return
        self._noted[key.hash] = now
        async with self._sessions.begin() as session:
            await session.execute(keys.used(key.id))


def _refused(detail: str, why: str = "") -> Unauthorized:
    return Unauthorized(detail, headers={"WWW-Authenticate": CHALLENGE + why})
