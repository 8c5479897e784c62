"""What stands before the routes.

``guard`` is a dependency of every router whose routes have to do with jobs, and so cannot be forgotten by one of them:
whoever asks must have a key that works, that was not used too often, that allows the method, and that owns the job in
the path; or a link to that job, where the route may be used with one. What somebody may not see is answered exactly
like what is not there, and a link that opens nothing as if it had not been sent.
"""

from http import HTTPMethod
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import TypeAdapter, ValidationError

from api.auth import share_links
from api.auth.caller import GUEST, Caller
from api.auth.hosts import make_sure_of_host
from api.auth.keyring import CHALLENGE
from api.problems import Forbidden, NoSuchJob, TooManyRequests, Unauthorized
from api.services import Services, WithServices
from api.surfaces.native import views
from contract.words import Scope
from store import reads

BEARER = HTTPBearer(
    scheme_name="key",
    description="A key of this server, made with `underpaint keys create`. A server without keys needs none.",
    auto_error=False,
)
READING = (HTTPMethod.GET, HTTPMethod.HEAD, HTTPMethod.OPTIONS)

_JOB_ID = TypeAdapter(UUID)  # as the routes read it


async def identify(
    request: Request,
    services: WithServices,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
) -> Caller:
    """A dependency: who asks. For what everybody with a key may do.

    Raises:
        Unauthorized: without a key that works.
        Misdirected: without a key, under a name that is not this server's.
        TooManyRequests: with one that is used too often.
    """
    caller = await services.keys.caller(credentials and credentials.credentials)
    if not caller.key:
        make_sure_of_host(request, services.settings)
    else:
        quota = caller.key.requests_per_minute or services.settings.requests_per_minute
        await _count(request, services, caller.key.id, quota, "This key")
    return caller


async def guard(
    request: Request,
    services: WithServices,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
) -> Caller:
    """A dependency: who asks, and may do so.

    Raises:
        Unauthorized, Misdirected, TooManyRequests: see ``identify``; all guests of a job count together.
        Forbidden: the key lacks the scope.
        NoSuchJob: the job in the path is not there, or somebody else's.
    """
    try:
        return await _keyed(request, services, credentials)
    except (Unauthorized, Forbidden, NoSuchJob):
        job = await share_links.opens(request, services)
        if job is None:
            raise
        await _count(request, services, job, services.settings.requests_per_minute, "The link to this job")
        return GUEST


async def _keyed(request: Request, services: Services, credentials: HTTPAuthorizationCredentials | None) -> Caller:
    caller = await identify(request, services, credentials)
    _allow(caller, "read" if request.method in READING else "submit")
    if "job_id" in request.path_params and not caller.sees_all:
        await _own(services, caller, request.path_params["job_id"])
    return caller


WithCaller = Annotated[Caller, Depends(guard)]


async def _count(request: Request, services: Services, whose: UUID, quota: int, what: str) -> None:
    standing = await services.rates.count(whose, quota)
    request.state.standing = standing  # for the header of the answer
    if standing and not standing.allowed:
        raise TooManyRequests(
            f"{what} may send {quota} requests a minute: send the next one after {standing.seconds} s.",
            headers={"Retry-After": str(standing.seconds)},
        )


def _allow(caller: Caller, scope: Scope) -> None:
    if caller.may(scope):
        return
    has = ", ".join(caller.key.scopes) if caller.key else ""
    raise Forbidden(
        f"This needs a key with the scope {scope}, or admin; this key has {has}.",
        headers={"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
        members={"missing_scope": scope},
    )


async def _own(services: WithServices, caller: Caller, job_id: str) -> None:
    try:
        job = _JOB_ID.validate_python(job_id)
    except ValidationError:
        return  # the route says what is wrong with it
    async with services.reading.begin() as session:
        found = (await session.execute(reads.owner(job))).tuples().one_or_none()
    if found is None or found[0] != caller.owner:
        raise views.no_such_job(job)
