"""The web app: `create_app` makes it, for uvicorn's factory mode and for tests. Nothing is made at import."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import errors, openapi
from api.auth.guard import guard, identify
from api.http import cors
from api.http.body_limit import BodyLimit, Head
from api.http.request_ids import RequestIds
from api.http.security import AnswerHeaders, HeadLimit
from api.metrics.middleware import Measured
from api.metrics.process import Metrics
from api.problems import DatabaseGone, Forbidden, Misdirected, ServerError, TooManyRequests, Unauthorized
from api.services import open_services
from api.surfaces import page
from api.surfaces.models import routes as models
from api.surfaces.native.routes import control, deliveries, events, iterates, jobs, refine, shares
from api.surfaces.openai import routes as openai
from api.surfaces.operations import health, metrics
from api.version import VERSION
from store.catalog import load_catalog
from store.settings import ApiSettings, CatalogSettings, StoreSettings, WebhookSettings


def create_app(
    store: StoreSettings | None = None, settings: ApiSettings | None = None, catalog: CatalogSettings | None = None
) -> FastAPI:
    """The app. Settings that are not given are read from the environment. It connects to nothing until it is started,
    and starts whether or not the database and Redis are there.

    Raises:
        ValueError: the settings or the catalogue of models cannot be used.
    """
    store = store or StoreSettings()
    settings = settings or ApiSettings()
    targets = WebhookSettings().targets
    models_on_offer = load_catalog((catalog or CatalogSettings()).catalog)

    measured = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with open_services(store, settings, models_on_offer, targets, measured) as services:
            yield {"services": services}

    app = FastAPI(
        title="Underpaint",
        version=VERSION,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        docs_url=None,  # served by api.surfaces.page, without anything from other servers
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.register(app)
    # The one added last sees a request first.
    app.add_middleware(Head)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(HeadLimit, max_bytes=settings.max_header_bytes)
    app.add_middleware(page.BrowserHeaders)
    app.add_middleware(AnswerHeaders)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **cors.SHARED)
    app.add_middleware(Measured, metrics=measured)
    app.add_middleware(RequestIds)

    anywhere = openapi.responses(Unauthorized, Misdirected, TooManyRequests, ServerError, DatabaseGone)
    guarded = openapi.responses(Unauthorized, Forbidden, Misdirected, TooManyRequests, ServerError, DatabaseGone)
    for part in (jobs, events, control, refine, iterates, deliveries, shares):
        app.include_router(part.router, dependencies=[Depends(guard)], responses=guarded)
    app.include_router(openai.router, dependencies=[Depends(guard)])
    app.include_router(models.router, dependencies=[Depends(identify)], responses=anywhere)
    for part in (health, metrics):
        app.include_router(part.router)
    page.serve(app)
    app.openapi = openapi.documenting(app, models_on_offer)
    return app
