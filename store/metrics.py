"""Common parts of the metrics of API, worker and beat. Each process has one registry, and is one scrape target."""

import platform
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, ProcessCollector, disable_created_metrics

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Buckets for durations, from that of a query to that of a long queue."""


def new_registry(part: str) -> CollectorRegistry:
    """A registry with the metrics of the process and its version. ``part``: api, worker or beat."""
    disable_created_metrics()  # they double the number of series, and nothing uses them
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    build = Gauge(
        "underpaint_build_info",
        "Always 1; the labels tell what runs.",
        ["part", "version", "python"],
        registry=registry,
    )
    build.labels(part, version("underpaint"), platform.python_version()).set(1)
    return registry


class Ends:
    """Ended jobs, counted by the process whose move ended them, so that a sum over all processes counts each once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "underpaint_jobs_ended",
            "Jobs that ended here, by outcome: why they stopped, or failed, or canceled.",
            ["model", "outcome"],
            registry=registry,
        )
        self._failed = Counter(
            "underpaint_jobs_failed", "Jobs that failed here, by the kind of failure.", ["reason"], registry=registry
        )

    def count(self, state: str, stopped: str | None, failure: str | None, model: str) -> None:
        """Count an end; see ``figures.ends``. A job that has not ended is not counted."""
        if state not in ("succeeded", "failed", "canceled"):
            return
        self._ended.labels(model, stopped or state).inc()
        if state == "failed":
            self._failed.labels(failure or "other").inc()
