"""What can be asked for."""

from fastapi import APIRouter, Response

from api import schemas, views
from api.services import WithServices

router = APIRouter(tags=["models"])


@router.get(
    "/v1/models",
    operation_id="list_models",
    summary="List the models",
    response_model=schemas.Models,
    response_description="The models on offer, the default first.",
)
async def list_models(services: WithServices, response: Response) -> schemas.Models:
    """Each model with its defaults, its limits, and prompts to try."""
    response.headers["Cache-Control"] = "no-cache"
    return views.models(services.catalog)
