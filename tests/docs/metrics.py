"""All metrics of our processes, by the names that Prometheus shows."""

import asyncio

from prometheus_client import CollectorRegistry

from api.metrics.process import Metrics as ApiMetrics
from api.metrics.shared import Shared
from store.database import async_engine, async_sessions
from store.redis_clients import async_redis
from tasks.metrics import Metrics as WorkerMetrics
from tasks.metrics_janitor import JanitorMetrics

PARTS = ("api", "worker", "beat")


def families(part: str) -> dict[str, tuple[str, str]]:
    """(type, documentation) of our metrics of one part, by name."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in _registry(part).collect()
        if family.name.startswith("underpaint_")
    }


def _registry(part: str) -> CollectorRegistry:
    if part == "worker":
        return WorkerMetrics().registry
    if part == "beat":
        return JanitorMetrics().registry
    metrics = ApiMetrics()
    asyncio.run(_with_shared(metrics))
    return metrics.registry


async def _with_shared(metrics: ApiMetrics) -> None:
    # Neither is connected.
    sessions = async_sessions(async_engine("postgresql://nobody@localhost/nothing"))
    metrics.registry.register(Shared(sessions, async_redis("redis://localhost:1/0")))
