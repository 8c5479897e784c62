"""What an API process counts and measures of itself. `api.metrics.shared` has what all processes share."""

from collections.abc import Callable, Mapping

from prometheus_client import Counter, Gauge, Histogram

from api.live.subscriptions import How
from store.metrics import SECONDS, Ends, new_registry

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = new_registry("api")
        self.ends = Ends(self.registry)
        self._submitted = Counter(
            "underpaint_jobs_submitted", "Jobs that were accepted.", ["model", "priority"], registry=self.registry
        )
        self._requests = Counter(
            "underpaint_http_requests",
            "HTTP requests, by the template of their path (other: files of the page, and paths that lead nowhere) and "
            "the status of the answer (none: the client left before there was one).",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "underpaint_http_request_seconds",
            "Time until an answer began, with the time that a client asked to wait.",
            ["route", "method"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "underpaint_http_requests_in_progress",
            "HTTP requests that are being answered, streams included.",
            registry=self.registry,
        )
        self._clients = Gauge(
            "underpaint_waiting_clients",
            "Clients that wait for news of a job: those with an open stream, and those whose answer is held.",
            ["how"],
            registry=self.registry,
        )

    def submitted(self, model: str, priority: str) -> None:
        """Count a job that was accepted."""
        self._submitted.labels(model, priority).inc()

    def answered(self, route: str | None, method: str, status: int | None, seconds: float) -> None:
        """Count a request that was answered after ``seconds``, or whose client disconnected before (status None)."""
        path, verb = route or OTHER, method if method in METHODS else OTHER
        self._requests.labels(path, verb, "none" if status is None else str(status)).inc()
        if status is not None:
            self._latency.labels(path, verb).observe(seconds)

    def show_clients(self, count: Callable[[], Mapping[How, int]]) -> None:
        """Call ``count`` at every scrape for the number of waiting clients, by how they wait."""
        for how in count():
            self._clients.labels(how).set_function(lambda how=how: count()[how])
