"""The commands that the page on the command shows do what it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import Running, environment
from tests.until import until
from underpaint import Underpaint

PAGE = Path(__file__).parents[2] / "docs" / "command.md"
SESSIONS = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)


def common(output: str) -> list[list[str]]:
    """What does not depend on the machine, the hour or the chance: words, but for numbers and what hangs on them."""
    output = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|^[0-9a-f]{8}\b", "ID", output, flags=re.M)
    output = re.sub(r"[\d.]+(e-\d+)?( (s|min|h)\b)?", "N", output)
    # What doctor finds differs everywhere, but not what it looks at.
    return [line.split()[: 2 if line.startswith("ok ") else None] for line in output.splitlines()]


def ran(command: str, settings: dict[str, str], folder: Path) -> str:
    """What a command prints, as soon as it succeeds."""
    tries: list[subprocess.CompletedProcess[str]] = []

    def succeeds() -> bool:
        tries.append(subprocess.run(command, shell=True, env=settings, cwd=folder, capture_output=True, text=True))
        return tries[-1].returncode == 0

    until(succeeds, why=lambda: tries[-1].stderr)
    return tries[-1].stdout


@pytest.mark.slow
def test_what_is_shown(running: Running, tmp_path: Path) -> None:
    names = {"UNDERPAINT_SERVER": running.url, "UNDERPAINT_DATA_DIR": str(running.folder)}
    settings = environment(**names, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for session in SESSIONS:
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.M):
            with Underpaint(running.url) as client:
                until(lambda: not client.page(state="queued").jobs)
            assert common(ran(command, settings, tmp_path)) == common(shown), command
