"""Authorization of requests.

``guard`` is a dependency of whole routers, so that no route can forget it. It checks that the API key works, is within
its rate limit, has the scope for the method, and owns the job in the path; or that a link opens that job. A job
of another key gets the same response as a missing one, and a link that opens nothing is ignored.
"""

from base64 import b64decode
from http import HTTPMethod
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import TypeAdapter, ValidationError

from api.auth import share_links, signed_links
from api.auth.caller import GUEST, Caller
from api.auth.hosts import check_host, check_site
from api.auth.keyring import CHALLENGE
from api.openapi import responses
from api.problems import (
    DatabaseGone,
    Forbidden,
    Misdirected,
    NoSuchJob,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from api.services import Services, WithServices
from contract.words import Scope
from store import reads

BEARER = HTTPBearer(
    scheme_name="key",
    description="A key of this server, made with `underpaint keys create`. A server without keys needs none.",
    auto_error=False,
)
READING = (HTTPMethod.GET, HTTPMethod.HEAD, HTTPMethod.OPTIONS)

WithBearer = Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]

IDENTIFY_RESPONSES = responses(Unauthorized, Misdirected, TooManyRequests, ServerError, DatabaseGone)
"""What ``identify`` adds to the documented responses of a route."""
GUARD_RESPONSES = responses(Unauthorized, Forbidden, Misdirected, TooManyRequests, ServerError, DatabaseGone)
"""What ``guard`` adds to them."""

_JOB_ID = TypeAdapter(UUID)  # as the routes read it


def presented(request: Request, bearer: HTTPAuthorizationCredentials | None) -> str | None:
    """The API key of a request. Some clients send it as the password of Basic authentication (RFC 7617), or in other
    headers than ``Authorization``."""
    if bearer:
        return bearer.credentials
    if password := _password(request.headers.get("authorization", "")):
        return password
    return request.headers.get("api-key") or request.headers.get("x-api-key")


def _password(authorization: str) -> str | None:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[2] or None
    except ValueError:
        return None


async def identify(request: Request, services: WithServices, bearer: WithBearer) -> Caller:
    """A dependency: the caller, for what everybody with a key may do.

    Raises:
        Unauthorized, Misdirected, TooManyRequests: see ``identified``.
    """
    return await identified(request, services, presented(request, bearer))


async def guard(request: Request, services: WithServices, bearer: WithBearer) -> Caller:
    """A dependency: the caller, who may make this request.

    Raises:
        Unauthorized, Misdirected, TooManyRequests, Forbidden, NoSuchJob: see ``authorized``.
    """
    return await authorized(request, services, presented(request, bearer))


WithCaller = Annotated[Caller, Depends(guard)]


async def identified(request: Request, services: Services, presented: str | None) -> Caller:
    """The caller that presents this API key, or none.

    Raises:
        Unauthorized: a key is needed, and this one does not work.
        Misdirected: no key is needed, and the request is for a host name that the server does not know.
        Forbidden: no key is needed, and a page of another site makes the request.
        TooManyRequests: the key is over its rate limit.
    """
    caller = await services.keys.caller(presented)
    if not caller.key:
        check_host(request, services.settings)
        if request.method not in READING:
            check_site(request, services.settings)
    else:
        quota = caller.key.requests_per_minute or services.settings.requests_per_minute
        await _count(request, services, caller.key.id, quota, "This key")
    return caller


async def authorized(request: Request, services: Services, presented: str | None) -> Caller:
    """The caller that presents this API key or a share link, and may make this request.

    Raises:
        Unauthorized, Misdirected, TooManyRequests: see ``identified``; all guests of a job share one rate limit.
        Forbidden: the key lacks the scope.
        NoSuchJob: the job in the path is missing, or belongs to another key.
    """
    try:
        caller = await identified(request, services, presented)
        _check_scope(caller, "read" if request.method in READING else "submit")
        if "job_id" in request.path_params and not caller.sees_all:
            await _check_owner(services, caller, request.path_params["job_id"])
    except (Unauthorized, Forbidden, NoSuchJob):
        # A server that waits for its first key serves nobody, guests included.
        job = await _opened(request, services) if services.keys.needed else None
        if job is None:
            raise
        await _count(request, services, job, services.settings.requests_per_minute, "The link to this job")
        return GUEST
    return caller


async def _opened(request: Request, services: Services) -> UUID | None:
    """The job that a link or a signature in the request opens."""
    return await share_links.opened(request, services.reading) or await signed_links.opened(request, services.reading)


async def _count(request: Request, services: Services, counted: UUID, quota: int, what: str) -> None:
    standing = await services.rates.count(counted, quota)
    request.state.standing = standing  # for the headers of the response
    if standing and not standing.allowed:
        raise TooManyRequests(
            f"{what} may send {quota} requests a minute: send the next one after {standing.seconds} s.",
            headers={"Retry-After": str(standing.seconds)},
        )


def _check_scope(caller: Caller, scope: Scope) -> None:
    if caller.may(scope):
        return
    scopes = ", ".join(caller.key.scopes) if caller.key else ""
    raise Forbidden(
        f"This needs a key with the scope {scope}, or admin; this key has {scopes}.",
        headers={"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
        members={"missing_scope": scope},
    )


async def _check_owner(services: Services, caller: Caller, job_id: str) -> None:
    try:
        job = _JOB_ID.validate_python(job_id)
    except ValidationError:
        return  # the route reports what is wrong with it
    async with services.reading.begin() as session:
        found = (await session.execute(reads.owner(job))).one_or_none()
    if found is None or found[0] != caller.owner:
        raise NoSuchJob.of(job)
