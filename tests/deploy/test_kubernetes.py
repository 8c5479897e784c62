"""The example for Kubernetes runs what docker-compose.yml runs, and scales by a metric that there is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from store.settings import WorkerSettings
from tests.deploy.compose import ROOT, load, seconds
from tests.docs.metrics import families

FOLDER = ROOT / "deploy" / "kubernetes"


def documents(file: Path) -> dict[str, dict[str, Any]]:
    return {f"{each['kind']} {each['metadata']['name']}": each for each in yaml.safe_load_all(file.read_text())}


@pytest.fixture(scope="module")
def pods() -> dict[str, dict[str, Any]]:
    found = documents(FOLDER / "underpaint.yaml")
    return {
        part: found[f"Deployment underpaint-{part}"]["spec"]["template"]["spec"] for part in ("api", "beat", "worker")
    }


def test_the_commands_are_those_of_the_services(pods: dict[str, dict[str, Any]]) -> None:
    services = load()["services"]
    for pod in pods.values():
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert container["args"] == services[container["name"]]["command"]
            assert container["image"] == services[container["name"]]["image"]
            assert [next(iter(each.values())) for each in container["envFrom"]] == [{"name": "underpaint"}] * 2


def test_a_worker_may_take_its_time_to_hand_jobs_back(pods: dict[str, dict[str, Any]]) -> None:
    grace = pods["worker"]["terminationGracePeriodSeconds"]
    assert grace == seconds(load()["services"]["worker"]["stop_grace_period"])


def test_workers_follow_the_queue() -> None:
    found = documents(FOLDER / "keda.yaml")
    scaled = found["ScaledObject underpaint-worker"]["spec"]
    (trigger,) = scaled["triggers"]
    assert f"Deployment {scaled['scaleTargetRef']['name']}" in documents(FOLDER / "underpaint.yaml")
    assert families("api")[trigger["metadata"]["valueLocation"]][0] == "gauge"
    assert int(trigger["metadata"]["targetValue"]) == WorkerSettings.model_fields["concurrency"].default
    (secret,) = found[f"TriggerAuthentication {trigger['authenticationRef']['name']}"]["spec"]["secretTargetRef"]
    assert secret["key"] == "UNDERPAINT_METRICS_TOKEN"
