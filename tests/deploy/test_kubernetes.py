"""The Helm chart: what it renders is valid, runs what docker-compose.yml runs, and names settings that there are."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from sqlalchemy import Engine, text

from cli.settings import classes
from contract.words import State
from store.settings import WorkerSettings
from tests.deploy.compose import ROOT, load, seconds

CHART = ROOT / "deploy" / "helm" / "underpaint"
FULL = """
catalog: "[[models]]"
settings: { UNDERPAINT_PUBLIC_URL: "https://pictures.example.org" }
imagePullSecrets: [{ name: registry }]
modelCache: { enabled: true, storageClass: nfs }
monitoring: { enabled: true, labels: { release: prometheus } }
api: { nodeSelector: { disk: ssd }, ingress: { enabled: true, className: nginx, tlsSecret: tls } }
workers:
  gpu: { nodeSelector: { gpu: h100 }, autoscaling: { enabled: true } }
  cpu: { replicas: 2, settings: { UNDERPAINT_DEVICE: cpu } }
  small: { settings: { UNDERPAINT_MODELS: "a, b-2" }, autoscaling: { enabled: true } }
"""
OTHERS = ("keda.sh/", "monitoring.coreos.com/")  # their schemas are not Kubernetes' own


@pytest.fixture(scope="module", params=["", FULL], ids=["defaults", "everything"])
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What Helm makes of the chart, by kind and name."""
    if shutil.which("helm") is None:
        pytest.skip("Helm is not installed")
    values: Path = tmp_path_factory.mktemp("values") / "values.yaml"
    values.write_text(request.param)
    for command in (["lint", str(CHART)], ["template", "here", str(CHART)]):
        ran = subprocess.run(["helm", *command, "--values", str(values)], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    found = [each for each in yaml.safe_load_all(ran.stdout) if each]
    return {f"{each['kind']} {each['metadata']['name']}": each for each in found}


def test_kubernetes_accepts_it(rendered: dict[str, dict[str, Any]]) -> None:
    for each in rendered.values():
        if not each["apiVersion"].startswith(OTHERS):
            for version in ("1.30", "1.35"):
                kubernetes_validate.validate(each, version, strict=True)


def test_the_commands_are_those_of_the_services(rendered: dict[str, dict[str, Any]]) -> None:
    services = load()["services"]
    pods = [each["spec"]["template"]["spec"] for each in rendered.values() if each["kind"] in ("Deployment", "Job")]
    containers = [container for pod in pods for container in pod["containers"]]
    assert {container["name"] for container in containers} == {"api", "beat", "worker", "migrate"}
    for container in containers:
        assert container["args"] == services[container["name"]]["command"]
        assert {"secretRef": {"name": "underpaint"}} in container["envFrom"]
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods)


def test_every_variable_is_a_setting(rendered: dict[str, dict[str, Any]]) -> None:
    known = {f"UNDERPAINT_{name.upper()}" for each in classes() for name in each.model_fields}
    found = set(rendered["ConfigMap here-settings"]["data"])
    for each in rendered.values():
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            found |= {variable["name"] for variable in container.get("env", [])}
    assert found
    assert found <= known


def test_what_selects_pods_finds_them(rendered: dict[str, dict[str, Any]]) -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"] for each in rendered.values() if each["kind"] == "Deployment"
    ]
    for each in rendered.values():
        if each["kind"] in ("PodDisruptionBudget", "Deployment"):
            wanted = each["spec"]["selector"]["matchLabels"]
            assert sum(wanted.items() <= own.items() for own in labels) == 1, each["metadata"]["name"]


def test_workers_hand_back_their_jobs_and_follow_the_queue(
    rendered: dict[str, dict[str, Any]], database: Engine
) -> None:
    workers = [each for name, each in rendered.items() if name.startswith("Deployment here-worker")]
    grace = seconds(load()["services"]["worker"]["stop_grace_period"])
    for worker in workers:
        assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == grace
        name = worker["metadata"]["name"]
        scaled = rendered.get(f"ScaledObject {name}")
        assert ("replicas" in worker["spec"]) == (scaled is None)
        if scaled is not None:
            assert (scaled["spec"]["scaleTargetRef"]["name"], scaled["spec"]["minReplicaCount"]) == (name, 0)
            (trigger,) = scaled["spec"]["triggers"]
            assert set(re.findall(r"'(\w+)'", trigger["metadata"]["query"])) <= set(State.__args__)
            with database.connect() as connection:
                assert connection.scalar(text(trigger["metadata"]["query"])) == 0
            only = " and model = any (string_to_array('a,b-2', ','))"
            assert trigger["metadata"]["query"].endswith(only) == (name == "here-worker-small")
            assert trigger["metadata"]["targetQueryValue"] == str(WorkerSettings.model_fields["concurrency"].default)
            assert f"TriggerAuthentication {trigger['authenticationRef']['name']}" in rendered
