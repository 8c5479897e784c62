"""The command finds its own packages, whatever is on the user's path."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.running import environment
from underpaint_command import MODULE, OURS

ROOT = Path(__file__).resolve().parents[2]
# As the installed script does.
COMMAND = [sys.executable, "-P", "-c", "import sys; from underpaint_command import main; sys.exit(main())"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file for each of our names, which must not be imported."""
    for name in OURS:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not ours')")
    return tmp_path


def ran(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    settings = environment(PYTHONPATH=str(folder))
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)


def test_the_command_is_ours(folder: Path) -> None:
    done = ran([*COMMAND, "settings"], folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "UNDERPAINT_PORT" in done.stdout


def test_what_it_starts_is_ours(folder: Path) -> None:
    done = ran([*MODULE, "celery", "--app", "tasks.queue", "report"], folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "underpaint" in done.stdout
    done = ran([*MODULE, "cli", "--version"], folder)
    assert done.stdout.startswith("underpaint ")


def test_all_of_ours_are_named() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "benchmarks", "deploy", "underpaint_command"} <= OURS


def test_the_installed_script_is_this_one() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"underpaint": "underpaint_command:main"}
