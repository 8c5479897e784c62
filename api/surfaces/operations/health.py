"""Whether the server is well, for process managers, load balancers and monitoring."""

from fastapi import APIRouter, Request, Response

from api.http.body import Sent
from api.openapi import responses
from api.problems import NotReady
from api.services import WithServices
from api.surfaces.operations.readiness import Checks, check

router = APIRouter(tags=["server"])


class Health(Sent):
    status: str
    version: str


class Readiness(Sent):
    ready: bool
    checks: Checks


@router.get(
    "/healthz",
    operation_id="health",
    summary="Is the process alive?",
    response_model=Health,
    response_description="It is.",
)
async def health(request: Request, response: Response) -> Health:
    """Checks nothing else: restart the process if it does not respond."""
    response.headers["Cache-Control"] = "no-store"
    return Health(status="ok", version=request.app.version)


@router.get(
    "/readyz",
    operation_id="readiness",
    summary="Can jobs be taken and run?",
    response_model=Readiness,
    response_description="They can.",
    responses=responses(NotReady),
)
async def readiness(services: WithServices, response: Response) -> Readiness:
    """Checks that the database has the tables, that the broker responds, that pictures can be stored, and that there is
    a worker. If one of them fails, the response is a problem that has `checks` as well. Whether there is a beat is
    shown in `checks` alone."""
    checks = await check(services)
    wrong = [found.detail for name, found in checks if name != "beat" and not found.ok]
    if wrong:
        raise NotReady(" ".join(wrong), members={"ready": False, "checks": checks.model_dump()})
    response.headers["Cache-Control"] = "no-store"
    return Readiness(ready=True, checks=checks)
