"""Every command in README and documentation runs as it stands, on a real server.

A page is run from top to bottom in a folder of its own: its shell in one shell, its Python in one interpreter. Only the
port of the server is not the one that is written there, and its model takes fewer steps by default, to be quick. What
cannot run here is named below, with the reason; nothing else is left out.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml

from cli.up.postgres import Postgres
from store.catalog import load_catalog
from store.settings import SHIPPED_CATALOG
from tests.cli.running import Running, Up, environment
from tests.docs.blocks import PAGES, ROOT, Block, Shell, blocks
from tests.until import until

WRITTEN = "http://127.0.0.1:8000"


def read_catalog(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        load_catalog(Path(file.name))


# What a block may be written in, and what is done with it besides.
LANGUAGES = {
    "sh": str,
    "python": str,
    "json": json.loads,
    "yaml": yaml.safe_load,
    "toml": read_catalog,
    "console": str,  # commands with what they print, which tests/docs/test_command.py runs
    "text": str,  # what a program answers, or reads
}

# Commands that begin so do not run here.
COMMANDS_NOT_RUN = {
    "git clone": "there is no host that the repository would be fetched from",
    "make up": "the server of this test is started by the command that this target runs",
    "pip install": "what it installs is installed",
    "docker compose": "there is no container engine; tests/deploy runs what the services run",
    "helm": "there is no cluster",
    "kubectl": "there is no cluster",
    "underpaint models add": "there is no such model; tests/cli/test_models.py adds others",
}
# Nor do blocks of Python that begin so.
PYTHON_NOT_RUN = {
    "docs/several-devices.md: from functools import partial": "needs two GPUs; tests/sampler/test_replicas.py has CPUs",
    "docs/webhooks.md: import os": "serves until it is stopped; tests/docs/test_webhooks.py runs it",
}


@pytest.fixture(scope="module")
def quick_server() -> Iterator[Running]:
    """A server without keys, which the pages share."""
    with tempfile.TemporaryDirectory(prefix="underpaint-test-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "emoji").symlink_to(SHIPPED_CATALOG.parent / "emoji")
        (folder / "catalog.toml").write_text(SHIPPED_CATALOG.read_text().replace("\nsteps = 50\n", "\nsteps = 8\n"))
        with Up(folder / "data", UNDERPAINT_CATALOG=str(folder / "catalog.toml")) as up:
            yield Running(folder / "data", up, up.ready())


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_what_it_shows_runs(page: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch, capsys) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block} is in {block.language!r}"
        LANGUAGES[block.language](block.code)
    to_run = [(block, code) for block in blocks(page) if (code := runnable(block))]
    if not to_run:
        return
    server: Running = request.getfixturevalue("quick_server")
    around = surroundings(tmp_path, server)
    shell, names = Shell(tmp_path, around), {}
    monkeypatch.chdir(tmp_path)
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    for block, code in to_run:
        code = code.replace(WRITTEN, server.url)
        if block.language == "sh":
            ran = shell.run(code)
            assert ran.returncode == 0, f"{block}\n{ran.stdout}\n{ran.stderr}"
        else:
            exec(compile(code, str(block), "exec"), names)
            assert "print(" not in code or capsys.readouterr().out, f"{block} printed nothing"
    if "keys create" in page.read_text():
        remove_keys(server)


def test_nothing_is_excused_that_is_not_there() -> None:
    shown = [block for page in PAGES for block in blocks(page)]
    assert {
        excuse(each) for block in shown if block.language == "sh" for each in block.commands()
    } >= COMMANDS_NOT_RUN.keys()
    assert {start(block) for block in shown if block.language == "python"} >= PYTHON_NOT_RUN.keys()
    assert {block.page.name for block in shown if block.language == "console"} == {"command.md"}


def runnable(block: Block) -> str:
    """What of a block can run here."""
    if block.language == "python":
        return "" if start(block) in PYTHON_NOT_RUN else block.code
    return "\n".join(each for each in block.commands() if not excuse(each)) if block.language == "sh" else ""


def excuse(command: str) -> str | None:
    """What of ``COMMANDS_NOT_RUN`` a command begins with, after the variables that it is given."""
    bare = re.sub(r"^(\w+=\S* )+", "", command)
    return next((start for start in COMMANDS_NOT_RUN if bare.startswith(start)), None)


def start(block: Block) -> str:
    """What ``PYTHON_NOT_RUN`` would call it."""
    return f"{block.page.relative_to(ROOT)}: {block.code.splitlines()[0]}"


def surroundings(folder: Path, server: Running) -> dict[str, str]:
    """Makes ``folder`` like a clone of the repository; returns the environment of a shell in it."""
    for name in (".env.example", ".venv", "models"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".curlrc").write_text("fail-with-body\n")  # an answer that is an error is a failure
    return environment(
        CURL_HOME=str(folder),
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        UNDERPAINT_DATA_DIR=str(server.folder),
        UNDERPAINT_SERVER=server.url,
    )


def remove_keys(server: Running) -> None:
    """The next page finds a server without keys again."""
    with psycopg.connect(Postgres(server.folder / "postgres", print).url) as connection:
        connection.execute("delete from api_keys")
    until(lambda: httpx.get(f"{server.url}/v1/jobs", trust_env=False).status_code == 200)
