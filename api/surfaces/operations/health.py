"""Whether the server is well, for whoever starts, watches and balances it."""

from fastapi import APIRouter, Response

from api.openapi import responses
from api.problems import NotReady
from api.services import WithServices
from api.surfaces.native import schemas
from api.surfaces.operations.readiness import check
from api.version import VERSION

router = APIRouter(tags=["server"])


@router.get(
    "/healthz",
    operation_id="health",
    summary="Is the process alive?",
    response_model=schemas.Health,
    response_description="It is.",
)
async def health(response: Response) -> schemas.Health:
    """Asks nothing of anyone: restart the process if this is not answered."""
    response.headers["Cache-Control"] = "no-store"
    return schemas.Health(status="ok", version=VERSION)


@router.get(
    "/readyz",
    operation_id="readiness",
    summary="Can jobs be taken and run?",
    response_model=schemas.Readiness,
    response_description="They can.",
    responses=responses(NotReady),
)
async def readiness(services: WithServices, response: Response) -> schemas.Readiness:
    """Asks the database for the tables, the broker for an answer, and whether a worker is there. Where one of them is
    not well, the answer is a problem that has `checks` as well. Whether beat is there is told by `checks` alone."""
    checks = await check(services)
    wrong = [found.detail for name, found in checks if name != "beat" and not found.ok]
    if wrong:
        raise NotReady(" ".join(wrong), members={"ready": False, "checks": checks.model_dump()})
    response.headers["Cache-Control"] = "no-store"
    return schemas.Readiness(ready=True, checks=checks)
