"""How many jobs of one API key may be queued at once."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.caller import Caller
from api.problems import TooManyQueued
from store import keys

RETRY_AFTER = 5  # s


async def check_room(session: AsyncSession, caller: Caller, default_max: int) -> None:
    """Check that the caller may queue one more job, in the transaction that queues it. Other submissions of the key
    wait until that transaction ends, so that two of them cannot both take the last place.

    Args:
        default_max: for a key without a limit of its own.

    Raises:
        TooManyQueued: the key has as many queued jobs as it may have.
    """
    if caller.key is None:
        return
    limit = caller.key.max_queued or default_max
    await session.execute(keys.lock(caller.key.id))
    if (await session.scalar(keys.queued(caller.key.id)) or 0) >= limit:
        raise TooManyQueued(
            f"{limit} jobs of this key are queued, which is its limit: wait for one to start, or cancel one.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )
