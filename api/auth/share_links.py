"""Reading one job through a share link, without an API key.

A route can be used with a share link if it has ``BY_LINK`` among its dependencies. The token travels in the query, so
that a link leads straight to a picture; the access log leaves it out (``cli.api``).
"""

from hmac import compare_digest
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from store import shares


def by_link(
    share: Annotated[
        str | None,
        Query(description="The `token` of `POST /v1/jobs/{job_id}/share`: reads this job without a key."),
    ] = None,
) -> None:
    """A dependency: marks a route, and documents the parameter that ``guard`` reads."""


BY_LINK = Depends(by_link)


async def opened(request: Request, sessions: async_sessionmaker[AsyncSession]) -> UUID | None:
    """The job that the ``share`` token of the request opens; None if it opens none, or not by this route."""
    token = request.query_params.get("share")
    if not token or BY_LINK not in request.scope["route"].dependencies:
        return None
    try:
        job = UUID(request.path_params.get("job_id", ""))
    except ValueError:
        return None
    async with sessions.begin() as session:
        kept = await session.scalar(shares.of(job))
    return job if kept and compare_digest(kept.encode(), token.encode(errors="surrogateescape")) else None
