"""The proxies of docs/self-hosting.md pass on what a client has to see as it happens: real ones, with TLS."""

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from tests.api.sse import parse
from tests.deploy.compose import ROOT
from tests.deploy.nginx import nginx_configuration
from tests.until import PATIENCE, until

MANY_ITERATES = {"prompt": "red heart", "method": "srds", "steps": 60, "blocks": 30, "tolerance": 0}
CADDY_ROOT = "data/caddy/pki/authorities/local/root.crt"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def process(*command: str, log: Path, **environment: str) -> Iterator[None]:
    with log.open("wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment})
    try:
        yield
    finally:
        running.terminate()
        running.wait(PATIENCE)


@contextmanager
def client(address: str, authority: Path, log: Path) -> Iterator[httpx.Client]:
    """A client that trusts nobody but ``authority``, once the proxy answers."""
    host, port = address.removeprefix("https://").split(":")
    until(lambda: authority.exists() and answers(host, int(port), authority), why=log.read_text)
    trust = ssl.create_default_context(cafile=authority)
    with httpx.Client(base_url=address, verify=trust, trust_env=False, timeout=PATIENCE) as made:
        yield made


def answers(host: str, port: int, authority: Path) -> bool:
    """Whether it listens, and has its certificate."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            ssl.create_default_context(cafile=authority).wrap_socket(connection, server_hostname=host).close()
            return True
    except OSError:  # an SSLError is one
        return False


@pytest.fixture(params=["nginx", "caddy"])
def proxied(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the server, by a proxy."""
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"there is no {request.param}")
    port, log = free_port(), tmp_path / "log"
    if request.param == "nginx":
        started, authority = nginx(program, port, server, tmp_path), tmp_path / "authority.pem"
    else:
        started, authority = (
            caddy(program, port, server, tmp_path),
            tmp_path / "data/caddy/pki/authorities/local/root.crt",
        )
    with started, client(f"https://localhost:{port}", authority, log) as made:
        yield made


def nginx(program: str, port: int, server: str, folder: Path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate = folder / "certificate.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    (folder / "nginx.conf").write_text(nginx_configuration(folder, f"127.0.0.1:{port}", certificate, server))
    return process(program, "-e", "stderr", "-c", f"{folder}/nginx.conf", log=folder / "log")


def caddy(program: str, port: int, server: str, folder: Path):
    """With the file of the project, for a name that it makes certificates for by itself."""
    site = (ROOT / "deploy/tls/Caddyfile").read_text()
    assert "api:8000" in site
    (folder / "Caddyfile").write_text(
        f"{{\nadmin off\ndefault_bind 127.0.0.1\nhttp_port {free_port()}\nskip_install_trust\n}}\n"
        + site.replace("api:8000", server.removeprefix("http://"))
    )
    homes = {name: str(folder / name[4:8].lower()) for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    command = [program, "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]
    return process(*command, log=folder / "log", SITE=f"https://localhost:{port}", **homes)


def test_pictures_and_events_come_as_they_are_made(proxied: httpx.Client) -> None:
    answer = proxied.post("/v1/jobs", json=MANY_ITERATES)
    assert answer.status_code == 202, answer.text
    job = f"/v1/jobs/{answer.json()['id']}"
    try:
        # Held until the first picture is there, and again until there is another one.
        first = proxied.get(f"{job}/images/0/iterates/latest", params={"wait": 60})
        assert first.headers["content-type"] == "image/png"
        etag = {"If-None-Match": first.headers["etag"]}
        second = proxied.get(f"{job}/images/0/iterates/latest", params={"wait": 60}, headers=etag)
        assert (second.status_code, second.content != first.content) == (200, True)
        # Events, one by one, while the job still runs.
        with proxied.stream("GET", f"{job}/events") as stream:
            seen = (event.data["iterate"] for event in parse(stream.iter_lines()) if event.kind == "iterate")
            assert [next(seen) for _ in range(3)] == [0, 1, 2]
            assert proxied.get(job).json()["state"] == "running"
    finally:
        proxied.post(f"{job}/cancel")


def test_the_page_comes_whole_and_unchanged(proxied: httpx.Client, server: str) -> None:
    page = proxied.get("/")
    direct = httpx.get(server, trust_env=False)
    assert page.text == direct.text
    assert page.headers["content-security-policy"] == direct.headers["content-security-policy"]
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert proxied.get(path).status_code == 200, path
