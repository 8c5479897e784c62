"""Traces, by OpenTelemetry: from the request that submits a job over its claim and rounds to each saved iterate.

The row of a job has the context of its request (`traceparent`, W3C Trace Context), so that its worker continues the
trace, whichever message called it. Without `start` nothing is recorded, and OpenTelemetry need not be installed.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from store.settings import TraceSettings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

_started: "list[TracerProvider]" = []


def start(service: str, processor: "SpanProcessor | None" = None) -> "TracerProvider | None":
    """Record what follows, if the settings say so; the spans go to an OTLP receiver over HTTP.

    Args:
        service: the part of the service, unless `OTEL_SERVICE_NAME` is set.
        processor: takes the spans instead, whatever the settings say.
    """
    if processor is None and TraceSettings().traces is None:
        return None
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    if processor is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        processor = BatchSpanProcessor(OTLPSpanExporter())
    name = os.environ.get("OTEL_SERVICE_NAME") or f"underpaint-{service}"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(processor)
    _started[:] = [provider]
    return provider


def stop() -> None:
    """Send what is recorded, and record nothing more. Blocks for some seconds if the receiver is away."""
    while _started:
        _started.pop().shutdown()


def on() -> bool:
    """Whether anything is recorded."""
    return bool(_started)


def traceparent() -> str | None:
    """The context of what runs here, for another process; None if nothing is recorded."""
    if not _started:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def here() -> "Context | None":
    """The context of what runs here, for another thread; None if nothing is recorded."""
    if not _started:
        return None
    from opentelemetry.context import get_current

    return get_current()


@contextmanager
def span(name: str, attributes: Mapping[str, Any] | None = None, parent: str | None = None) -> Generator[None]:
    """Record what the context does, as part of what runs here, or of ``parent``, which is a `traceparent`."""
    if not _started:
        yield
        return
    context = None
    if parent is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": parent})
    # An exception's message may quote a prompt.
    with (
        _started[0]
        .get_tracer("underpaint")
        .start_as_current_span(
            name, context, attributes=_known(attributes), record_exception=False, set_status_on_exception=False
        )
    ):
        yield


def record(name: str, began: int, ended: int, context: "Context | None" = None, **attributes: Any) -> None:
    """Record what has happened, between two times in nanoseconds since 1970, as part of ``context`` or of what runs
    here."""
    if _started:
        tracer = _started[0].get_tracer("underpaint")
        tracer.start_span(name, context, attributes=_known(attributes), start_time=began).end(ended)


def _known(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if value is not None}
