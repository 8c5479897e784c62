"""The HTTP server from which Prometheus reads the metrics of a worker or of beat, if the settings enable it."""

from celery.utils.log import get_logger
from prometheus_client import CollectorRegistry, start_http_server

log = get_logger(__name__)


def serve(registry: CollectorRegistry, host: str, port: int | None) -> None:
    """Serve a registry from a thread of its own, for as long as this process lives.

    Args:
        port: 0: any free one; None: do not serve.

    Raises:
        SystemExit: it cannot listen there; the message says why and what to change.
    """
    if port is None:
        return
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise SystemExit(
            f"metrics cannot be served at {host}:{port}: {error.strerror or error}. Set UNDERPAINT_METRICS_HOST and "
            "UNDERPAINT_WORKER_METRICS_PORT or UNDERPAINT_BEAT_METRICS_PORT to an address and a port that are free"
        ) from error
    log.info("metrics at http://%s:%d/metrics", host, server.server_port)
