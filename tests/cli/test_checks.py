"""What is said before anything is started, and what is not made behind one's back."""

import shutil
from pathlib import Path

import pytest

from cli import checks
from cli.errors import CommandError
from store.settings import SHIPPED_CATALOG
from tests.cli.running import run

CARD = SHIPPED_CATALOG.read_text()


def test_a_faulty_catalogue_is_told_before_anything_starts(tmp_path: Path, folder: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CARD.replace("steps = 50", 'steps = "many"', 1))
    ran = run("up", "--data-dir", str(folder), "--port", "0", UNDERPAINT_CATALOG=str(catalog))
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"Error: The catalogue of models {catalog} cannot be used")
    assert "steps" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("UNDERPAINT_PROT", "UNDERPAINT_PROT is no setting: do you mean UNDERPAINT_PORT?"),
        ("UNDERPAINT_XYZZY_PLUGH", "UNDERPAINT_XYZZY_PLUGH is no setting."),
        ("UNDERPAINT_PORT", None),
        ("UNDERPAINT_DATA_DIR", None),
        ("UNDERPAINT_KEY", None),
    ],
)
def test_names_that_are_no_settings(monkeypatch: pytest.MonkeyPatch, name: str, told: str | None) -> None:
    before = checks.misspelled()
    monkeypatch.setenv(name, "1")
    assert [line for line in checks.misspelled() if line not in before] == ([told] if told else [])


def test_a_missing_model_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CARD)
    monkeypatch.setenv("UNDERPAINT_CATALOG", str(catalog))
    checks.before_start()
    assert f"model emoji cannot be loaded: there is no {tmp_path / 'emoji'}" in capsys.readouterr().err
    shutil.copytree(SHIPPED_CATALOG.parent / "emoji", tmp_path / "emoji")
    checks.before_start()
    assert "Warning" not in capsys.readouterr().err
    catalog.write_text("models = 1")
    with pytest.raises(CommandError, match="cannot be used"):
        checks.before_start()


@pytest.mark.parametrize(
    "command",
    [["keys", "list"], ["keys", "create", "one"], ["backup", "FILE"], ["restore", "FILE"], ["webhook-secret"]],
)
def test_no_database_is_made_behind_ones_back(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    if command[0] == "restore":
        file.touch()
    nowhere = tmp_path / "nowhere"
    arguments = [str(file) if word == "FILE" else word for word in command]
    ran = run(*arguments, "--data-dir", str(nowhere))
    assert ran.returncode == 1
    assert f"There is no database in {nowhere}" in ran.stderr
    assert not nowhere.exists()


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    ran = run("backup", str(file), "--data-dir", str(tmp_path))
    assert (ran.returncode, "is not overwritten" in ran.stderr) == (1, True)
    assert file.read_text() == "precious"


def test_help_has_a_short_name() -> None:
    assert run("-h").stdout == run("--help").stdout
