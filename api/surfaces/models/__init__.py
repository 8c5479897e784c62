"""The models on offer, for the clients of every surface."""

from typing import Any

from fastapi import Depends, FastAPI
from starlette.responses import Response

from api.guard import IDENTIFY_RESPONSES, identify
from api.http import problem_json
from api.openapi import example
from api.problems import Problem
from api.surface import Surface
from api.surfaces.models import routes, schemas
from api.surfaces.openai import errors
from store.catalog import Catalog
from store.workers import ModelInfo


def _add_routes(app: FastAPI) -> None:
    app.include_router(routes.router, dependencies=[Depends(identify)], responses=IDENTIFY_RESPONSES)


def _render(path: str, problem: Problem) -> Response:
    # Clients of OpenAI read `error`, the others everything else.
    return problem_json.render(path, problem, error=errors.error(problem))


def _document(document: dict[str, Any], catalog: Catalog) -> None:
    ready = {name: ModelInfo(state="ready") for name in catalog}
    for path, answer in (
        ("/v1/models", schemas.models(catalog, ready)),
        ("/v1/models/{model}", schemas.model(catalog, catalog.default, ready[catalog.default.id])),
    ):
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        content["application/json"] |= example(answer)["application/json"]


SURFACE = Surface(
    name="models",
    paths=("/v1/models", "/v1/models/", "/models", "/models/"),
    add_routes=_add_routes,
    render=_render,
    tags=({"name": "models", "description": "The models on offer."},),
    document=_document,
)
