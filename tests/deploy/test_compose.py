"""docker-compose.yml: valid, true to the settings, and every command of ours in it starts as it stands there."""

import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pydantic_settings
import pytest
import redis
import yaml
from sqlalchemy import Engine

from contract.fields import Generation
from store import moves, settings
from tasks.queue import QUEUE
from tests.deploy.compose import FILE, ROOT, load, merge, seconds
from tests.until import until

OURS = ["migrate", "api", "worker", "worker-gpu", "beat"]
FIELDS = {
    f"UNDERPAINT_{field.upper()}"
    for kind in vars(settings).values()
    if isinstance(kind, type) and issubclass(kind, pydantic_settings.BaseSettings)
    for field in kind.model_fields
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return load()["services"]


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/tls/compose.yml"])
def test_it_follows_the_specification(file: str) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / file)]
    ran = subprocess.run(check, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "file",
    [
        "docker-compose.yml",
        ".env.example",
        "deploy/Dockerfile",
        "deploy/tls/compose.yml",
        "deploy/helm/underpaint/values.yaml",
        "deploy/helm/underpaint/templates/settings.yaml",
        "deploy/helm/underpaint/templates/monitoring.yaml",
        "deploy/helm/underpaint/templates/workers.yaml",
        "docs/self-hosting.md",
    ],
)
def test_it_names_settings_that_there_are(file: str) -> None:
    assert set(re.findall(r"UNDERPAINT_[A-Z0-9_]*[A-Z0-9]", (ROOT / file).read_text())) <= FIELDS


def test_the_example_gives_the_defaults() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert load(FILE, **given) == load()
    assert set(given) == set(re.findall(r"\$\{(\w+)", FILE.read_text()))


def test_whoever_waits_waits_for_something_that_can_come(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for {other}, whose health nobody checks"


def test_a_worker_may_take_its_time_to_hand_jobs_back(services: dict[str, Any]) -> None:
    for name in ("worker", "worker-gpu"):
        grace = seconds(services[name]["stop_grace_period"])
        assert grace > settings.WorkerSettings.model_fields["soft_shutdown_seconds"].default + 10


def test_only_the_api_can_be_reached_and_by_default_from_this_machine_only(services: dict[str, Any]) -> None:
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "api": ["127.0.0.1:8000:8000"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


def test_prometheus_finds_everybody_and_gets_the_token() -> None:
    file = load(METRICS_TOKEN="hush")
    services = file["services"]
    prometheus = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    found = {
        (name, where["port"])
        for job in prometheus["scrape_configs"]
        for where in job["dns_sd_configs"]
        for name in where["names"]
    }
    served = {
        (name, int(services[name]["environment"][variable]))
        for name, variable in (
            ("api", "UNDERPAINT_PORT"),
            ("worker", "UNDERPAINT_WORKER_METRICS_PORT"),
            ("worker-gpu", "UNDERPAINT_WORKER_METRICS_PORT"),
            ("beat", "UNDERPAINT_BEAT_METRICS_PORT"),
        )
    }
    assert found == served
    [token] = services["prometheus"]["configs"]
    assert token["target"] == prometheus["scrape_configs"][0]["authorization"]["credentials_file"]
    assert file["configs"][token["source"]]["content"] == "hush"
    assert services["api"]["environment"]["UNDERPAINT_METRICS_TOKEN"] == "hush"


def test_what_is_mounted_is_there(services: dict[str, Any]) -> None:
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    assert [path for path in mounted if path.startswith(".") and not (ROOT / path).exists()] == []
    assert {name for name in mounted if not name.startswith(".")} == set(load()["volumes"])


def test_services_of_ours_are_one_image_whose_user_is_not_root(services: dict[str, Any]) -> None:
    assert {services[name]["image"] for name in OURS} == {"underpaint:local"}
    dockerfile = (ROOT / services["api"]["build"]["dockerfile"]).read_text()
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE)[-1] == "underpaint"


def test_the_image_is_built_from_files_that_are_there_and_not_ignored() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE) for name in line.split()
    }
    let_in = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in let_in if line.startswith("!")} == copied
    assert [name for name in sorted(copied) if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert [name for name in packages if (ROOT / name).exists() and name not in copied] == []


# From here on the commands run as in a container, but for the addresses of database and broker, and the port.


class Service:
    """A service of the file, to be run without a container."""

    def __init__(self, service: dict[str, Any], postgres_url: str, redis_url: str, port: int) -> None:
        self._port = port
        self.command = [str(word) for word in service["command"]]
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}
        self.environment |= service["environment"]
        self.environment |= {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
        self.environment |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOSTNAME": socket.gethostname(),
        }
        for name in {"UNDERPAINT_WORKER_METRICS_PORT", "UNDERPAINT_BEAT_METRICS_PORT"} & set(service["environment"]):
            self.environment[name] = "0"
        if "UNDERPAINT_PORT" in service["environment"]:
            self.environment["UNDERPAINT_PORT"] = str(port)
        kind, *self._check = service.get("healthcheck", {"test": ["NONE"]})["test"]
        if kind == "CMD-SHELL":
            self._check = ["sh", "-c", *self._check]
        self._grace = seconds(service.get("stop_grace_period", "10s"))

    @contextmanager
    def running(self, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Runs the command; stops it as Compose does, within the time that it gives."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["underpaint", *self.command], env=self.environment, stdout=output, stderr=subprocess.STDOUT, cwd="/"
            )
        try:
            yield process
            process.terminate()
            assert process.wait(self._grace) in {0, -signal.SIGTERM}, log.read_text()
        finally:
            process.kill()
            process.wait()

    def wait_until_healthy(self, process: subprocess.Popen[bytes], log: Path) -> None:
        check = [word.replace(":8000/", f":{self._port}/") for word in self._check]

        def healthy() -> bool:
            assert process.poll() is None, log.read_text()
            return subprocess.run(check, env=self.environment, capture_output=True).returncode == 0

        until(healthy, why=log.read_text)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.mark.parametrize("name", ["api", "worker"])
def test_it_starts_becomes_healthy_and_stops(
    services: dict[str, Any], name: str, postgres_url: str, redis_url: str, port: int, tmp_path: Path
) -> None:
    service = Service(services[name], postgres_url, redis_url, port)
    with service.running(tmp_path / "log") as process:
        service.wait_until_healthy(process, tmp_path / "log")


def test_beat_sends_a_job_that_was_left_lying(
    services: dict[str, Any],
    database: Engine,
    generation: Callable[..., Generation],
    postgres_url: str,
    redis_url: str,
    port: int,
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    with database.begin() as connection:
        connection.execute(moves.submit(uuid4(), generation()))
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushdb()
        with Service(services["beat"], postgres_url, redis_url, port).running(log) as process:
            until(lambda: broker.llen(QUEUE) or process.poll() is not None, why=log.read_text)
            assert process.poll() is None, log.read_text()
        broker.flushdb()


def test_migrate_does_its_work_and_ends(services: dict[str, Any], postgres_url: str, redis_url: str, port: int) -> None:
    service = Service(services["migrate"], postgres_url, redis_url, port)
    ran = subprocess.run(
        ["underpaint", *service.command], env=service.environment, capture_output=True, text=True, cwd="/"
    )
    assert ran.returncode == 0, ran.stderr


def test_with_tls_the_api_needs_a_key(
    services: dict[str, Any], database: Engine, postgres_url: str, redis_url: str, port: int
) -> None:
    tls = load(ROOT / "deploy" / "tls" / "compose.yml", SITE="pictures.example.org")["services"]
    assert tls["api"]["environment"]["UNDERPAINT_PUBLIC_URL"] == "https://pictures.example.org"
    (mounted, *_) = (volume.split(":")[0] for volume in tls["caddy"]["volumes"])
    assert "reverse_proxy api:8000" in (ROOT / mounted).read_text()
    service = Service(merge(services["api"], tls["api"]), postgres_url, redis_url, port)
    command = ["underpaint", *service.command]
    ran = subprocess.run(command, env=service.environment, capture_output=True, text=True, cwd="/")
    assert ran.returncode == 1, ran.stderr
    assert "The server has no keys, and whoever reaches 0.0.0.0:443 could use it." in ran.stderr


def test_workers_with_and_without_gpu_run_the_same_command(services: dict[str, Any]) -> None:
    assert services["worker-gpu"]["command"] == services["worker"]["command"]
    assert services["worker-gpu"]["environment"] == services["worker"]["environment"]
