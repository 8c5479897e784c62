"""The web app: `create_app` makes it, for uvicorn's factory mode and for tests. Nothing is made at import."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import errors, openapi
from api.encoding.marking import Marking
from api.metrics.process import Metrics
from api.middleware import cors
from api.middleware.head import Head
from api.middleware.metrics import RequestMetrics
from api.middleware.path_prefix import PathPrefix
from api.middleware.request_ids import RequestIds
from api.middleware.response_headers import ResponseHeaders
from api.middleware.size_limits import BodyLimit, HeadLimit
from api.services import open_services
from api.surfaces import SURFACES
from api.traces import trace
from store import tracing
from store.catalog import load_catalog
from store.settings import ApiSettings, CatalogSettings, MarkSettings, StoreSettings, WebhookSettings


def create_app(
    store: StoreSettings | None = None, settings: ApiSettings | None = None, catalog: CatalogSettings | None = None
) -> FastAPI:
    """The app. Settings that are not given are read from the environment. It connects to nothing until it is started,
    and starts without database and Redis, too.

    Raises:
        ValueError: the settings or the catalogue of models are not valid.
    """
    store = store or StoreSettings()
    settings = settings or ApiSettings()
    targets = WebhookSettings().targets
    marking = Marking(MarkSettings())
    models = load_catalog((catalog or CatalogSettings()).catalog)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with (
            open_services(store, settings, models, targets, metrics, marking) as services,
            AsyncExitStack() as running,
        ):
            for surface in SURFACES:
                await running.enter_async_context(surface.running(app))
            yield {"services": services}
        tracing.stop()

    app = FastAPI(
        title="Underpaint",
        version=version("underpaint"),
        description=openapi.DESCRIPTION,
        openapi_tags=[dict(tag) for surface in SURFACES for tag in surface.tags],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        openapi_url=None,  # api.surfaces.page serves it, as the server is now
        docs_url=None,  # api.surfaces.page serves it without anything from other servers
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.register(app, SURFACES)
    # The one added last is the outermost.
    app.add_middleware(Head)
    app.add_middleware(
        BodyLimit,
        surfaces=SURFACES,
        max_bytes=settings.max_body_bytes,
        max_picture_bytes=settings.max_upload_bytes,
    )
    app.add_middleware(HeadLimit, surfaces=SURFACES, max_bytes=settings.max_header_bytes)
    app.add_middleware(ResponseHeaders, surfaces=SURFACES)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **cors.OPTIONS)
    app.add_middleware(RequestMetrics, metrics=metrics)
    app.add_middleware(RequestIds)
    app.add_middleware(PathPrefix, public_url=settings.public_url or "")
    for surface in SURFACES:
        surface.add_routes(app)
    trace(app)
    app.openapi = openapi.documenting(app, SURFACES, models)
    return app
