"""Looking at one job by a link, without a key.

A route is open to those who have the link of a job if it has ``BY_LINK`` among its dependencies. The token travels in
the query, so that a link leads straight to a picture; the server's log leaves it out (``cli.api``).
"""

from collections.abc import Sequence
from hmac import compare_digest
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request

from api.services import Services
from store import shares


def by_link(
    share: Annotated[
        str | None,
        Query(description="The `token` of `POST /v1/jobs/{job_id}/share`: reads this job without a key."),
    ] = None,
) -> None:
    """A dependency: marks a route, and documents the parameter that ``guard`` reads."""


BY_LINK = Depends(by_link)


async def opens(request: Request, services: Services) -> UUID | None:
    """The job that the request may read because of its ``share``; None where that opens nothing."""
    token = request.query_params.get("share")
    job_id = request.path_params.get("job_id", "")
    # A server that still waits for its first key serves nobody.
    if not token or not services.keys.needed or BY_LINK not in _dependencies(request):
        return None
    try:
        job = UUID(job_id)
    except ValueError:
        return None
    async with services.reading.begin() as session:
        kept = await session.scalar(shares.of(job))
    return job if kept and compare_digest(kept.encode(), token.encode(errors="surrogateescape")) else None


def _dependencies(request: Request) -> Sequence[Any]:
    return request.scope["route"].dependencies
