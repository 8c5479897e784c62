"""Traces of requests, by OpenTelemetry's own instrumentation of FastAPI."""

from fastapi import FastAPI

from store import tracing

# Probes and scrapes are no work that anybody waits for.
UNTRACED = "healthz,readyz,metrics"


def trace(app: FastAPI) -> None:
    """Record each request, as a part of the client's trace if it names one, if the settings say so."""
    provider = tracing.start("api")
    if provider is None:
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=provider, excluded_urls=UNTRACED, exclude_spans=["receive", "send"]
    )
