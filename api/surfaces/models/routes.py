"""The routes of the models."""

import contextlib
from typing import Annotated

import anyio
from fastapi import APIRouter, Path, Response

from api.openapi import responses
from api.problems import NoSuchModel
from api.queue.pace import REDIS_TIMEOUT
from api.services import Services, WithServices
from api.surfaces.models import schemas
from store import workers
from store.outages import REDIS_AWAY

router = APIRouter(tags=["models"])


# Many clients add no /v1 to the base URL that they are given.
@router.get("/models", include_in_schema=False)
@router.get(
    "/v1/models",
    operation_id="list_models",
    summary="List the models",
    response_model=schemas.Models,
    response_description="The models on offer, the default first.",
)
async def list_models(services: WithServices, response: Response) -> schemas.Models:
    """Each model with its defaults, its limits, and prompts to try. `data` is for OpenAI's clients."""
    response.headers["Cache-Control"] = "no-cache"
    return schemas.models(services.catalog, await _states(services))


@router.get("/models/{model}", include_in_schema=False)
@router.get(
    "/v1/models/{model}",
    operation_id="get_model",
    summary="Read a model",
    response_model=schemas.Model,
    response_description="The model.",
    responses=responses(NoSuchModel),
)
async def get_model(
    model: Annotated[str, Path(description="The `id` of a model.")], services: WithServices, response: Response
) -> schemas.Model:
    """A model with its defaults, its limits, and prompts to try."""
    response.headers["Cache-Control"] = "no-cache"
    card = services.catalog.get(model)
    if card is None:
        raise NoSuchModel.called(model, services.catalog)
    return schemas.model(services.catalog, card, (await _states(services)).get(card.id))


async def _states(services: Services) -> dict[str, workers.ModelInfo]:
    """What the models do in the workers; nothing while Redis does not answer."""
    with anyio.move_on_after(REDIS_TIMEOUT), contextlib.suppress(*REDIS_AWAY):
        return workers.model_states((await workers.alive_async(services.redis)).values())
    return {}
