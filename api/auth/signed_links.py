"""Addresses of single pictures that can be fetched without an API key until they expire.

Clients of OpenAI's API fetch the ``url`` in an answer with another program than the one that has the key. The address
says until when it works, and a signature of both (HMAC-SHA256, RFC 2104) holds them together. A route can be used with
one if it has ``BY_SIGNATURE`` among its dependencies.
"""

import time
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.http.headers import digits
from store import link_secret

_LATEST = 10**11  # s since 1970


def by_signature(
    expires: Annotated[
        str | None, Query(description="Until when the address works without a key, in seconds since 1970.")
    ] = None,
    signature: Annotated[str | None, Query(description="Of the address, as the server made it.")] = None,
) -> None:
    """A dependency: marks a route, and documents the parameters that ``guard`` reads."""


BY_SIGNATURE = Depends(by_signature)


async def signed(
    sessions: async_sessionmaker[AsyncSession], seconds: int, url: str, job: UUID, image: int, iterate: int
) -> str:
    """The address of a picture, ``url``, so that it works without a key for so many seconds from now on."""
    expires = int(time.time()) + seconds
    async with sessions.begin() as session:
        await session.execute(link_secret.keep())
        secret = (await session.scalars(link_secret.kept())).one()
    query = {"expires": expires, "signature": _signature(secret, job, str(image), str(iterate), expires)}
    return f"{url}?{urlencode(query)}"


async def opened(request: Request, sessions: async_sessionmaker[AsyncSession]) -> UUID | None:
    """The job whose picture the signature of the request opens; None if it opens none."""
    given, path = request.query_params.get("signature"), request.path_params
    expires = digits(request.query_params.get("expires", ""), _LATEST)
    if not given or expires < time.time() or BY_SIGNATURE not in request.scope["route"].dependencies:
        return None
    try:
        job = UUID(path["job_id"])
    except ValueError:
        return None
    async with sessions.begin() as session:
        secret = await session.scalar(link_secret.kept())
    if secret is None:
        return None
    right = _signature(secret, job, path["image"], path["iterate"], expires)
    return job if compare_digest(right.encode(), given.encode(errors="surrogateescape")) else None


def _signature(secret: str, job: UUID, image: str, iterate: str, expires: int) -> str:
    return digest(secret.encode(), f"{job}/{image}/{iterate}?{expires}".encode(), sha256).hex()
