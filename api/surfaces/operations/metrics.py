"""What Prometheus reads."""

import hmac

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client.exposition import choose_encoder

from api.auth.hosts import check_host
from api.auth.keyring import CHALLENGE
from api.guard import WithBearer
from api.openapi import responses
from api.problems import DatabaseGone, Forbidden, Misdirected, Unauthorized
from api.services import WithServices

router = APIRouter(tags=["server"])

TEXT = {"schema": {"type": "string"}}


async def admit(
    request: Request,
    services: WithServices,
    bearer: WithBearer,
) -> None:
    """A dependency: admits callers with the token for metrics, or with a key that has the scope admin. A server with
    neither token nor keys admits everybody.

    Raises:
        Unauthorized, Forbidden: the caller has neither.
        Misdirected: neither is needed, but the request is for a host name that the server does not know.
    """
    token, given = services.metrics_token, bearer and bearer.credentials
    if token is not None and given is not None and hmac.compare_digest(given.encode(), token.encode()):
        return
    caller = await services.keys.caller(given)
    if not caller.may("admin"):
        raise Forbidden("Metrics need a key with the scope admin, or the token in UNDERPAINT_METRICS_TOKEN.")
    if token is not None and caller.key is None:
        raise Unauthorized(
            "Send the token in UNDERPAINT_METRICS_TOKEN of the server as Authorization: Bearer.",
            headers={"WWW-Authenticate": CHALLENGE},
        )
    if caller.key is None:
        check_host(request, services.settings)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics of this process and of the queue",
    response_class=Response,
    response_description="Metrics, in the format that the `Accept` header prefers.",
    responses=responses(
        Unauthorized,
        Forbidden,
        Misdirected,
        DatabaseGone,
        _200={"content": {"text/plain": TEXT, "application/openmetrics-text": TEXT}},
    ),
    dependencies=[Depends(admit)],
)
async def metrics(request: Request, services: WithServices) -> Response:
    """For Prometheus: requests and waiting clients of this process; queue and workers, which every API process reports
    alike. A server that has keys, or a token for metrics, needs that token or a key with the scope admin."""
    await services.shared.refresh()
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    headers = {"Content-Type": media_type, "Cache-Control": "no-store", "Vary": "Accept"}
    return Response(encode(services.metrics.registry), headers=headers)
