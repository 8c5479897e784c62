"""How many jobs of one key may be queued at once."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.caller import Caller
from api.problems import TooManyQueued
from api.services import Services
from store import keys

RETRY_AFTER = 5  # s


async def make_sure_of_room(session: AsyncSession, services: Services, caller: Caller) -> None:
    """Sees that the caller may queue one more job, in the transaction that does so. It holds back the caller's other
    submissions until its end, so that several at once do not all take the last place.

    Raises:
        TooManyQueued: as many jobs of its key are queued as may be.
    """
    if caller.key is None:
        return
    most = caller.key.max_queued or services.settings.max_queued_per_key
    await session.execute(keys.lock(caller.key.id))
    if (await session.scalar(keys.queued(caller.key.id)) or 0) >= most:
        raise TooManyQueued(
            f"{most} jobs of this key are queued, which is as many as may be: wait for one to start, or cancel one.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )
