"""The metrics of beat: of the janitor and of the sender of webhooks."""

from prometheus_client import Counter, Gauge

from store.metrics import Ends, new_registry


class JanitorMetrics:
    """The metrics of beat, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = new_registry("beat")
        self.ends = Ends(registry)
        self.rescued = Counter(
            "underpaint_jobs_rescued",
            "Jobs whose lease ran out, as their worker died or froze; `state` is where they went.",
            ["state"],
            registry=registry,
        )
        self.resent = Counter(
            "underpaint_jobs_resent", "Times that the broker was sent a queued job again.", registry=registry
        )
        self.pruned = Counter("underpaint_jobs_pruned", "Jobs that were deleted for their age.", registry=registry)
        self.webhook_attempts = Counter(
            "underpaint_webhook_attempts",
            "Attempts at webhook deliveries, by outcome: delivered, retried (it is tried again later), failed (it is "
            "not), refused (the address is not allowed, so nothing was sent) or disabled (the receiver wants no more).",
            ["outcome"],
            registry=registry,
        )
        self.swept = Gauge(
            "underpaint_janitor_last_sweep_timestamp_seconds",
            "When the janitor last did all of its work, in seconds since 1970.",
            registry=registry,
        )
