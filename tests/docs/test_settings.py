"""The page of settings is what the command writes, and names the right readers."""

import re
from pathlib import Path

from cli import settings

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_command_writes() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()
    assert written == settings.markdown(), "run: underpaint settings --markdown > docs/settings.md"


def test_it_says_rightly_who_reads_them() -> None:
    """By the name of the attribute in the code of each part; names of one word mean other things as well."""
    beat = {"janitor.py", "service.py", "sender.py"}
    code = {
        "api": [*ROOT.glob("api/**/*.py"), *ROOT.glob("cli/api.py")],
        "beat": [path for path in ROOT.glob("tasks/**/*.py") if path.name in beat],
        "worker": [path for path in ROOT.glob("tasks/**/*.py") if path.name not in beat | {"queue.py"}],
    }
    read = {
        part: set(
            re.findall(r"(?<!self)\.([a-z][a-z0-9]*(?:_[a-z0-9]+)+)\b", "\n".join(path.read_text() for path in paths))
        )
        for part, paths in code.items()
    }
    readers = {
        each.name.removeprefix("UNDERPAINT_").lower(): set(each.read_by)
        for _, _, listed in settings.groups()
        for each in listed
    }
    # Read by `exposed`, as `targets`, by `store.logs`, `store.database` and `store.pictures`.
    shared = {"allow_open", "webhook_allow", "webhook_http", "log_format", "log_level", "database_pooled"}
    shared |= {name for name in readers if name.startswith("s3_")}
    checked = {name: parts for name, parts in readers.items() if "_" in name and name not in shared}
    assert checked == {name: {part for part in code if name in read[part]} for name in checked}


def test_secrets_are_not_shown(monkeypatch) -> None:
    monkeypatch.setenv("UNDERPAINT_METRICS_TOKEN", "hush")
    monkeypatch.setenv("UNDERPAINT_LEASE_SECONDS", "60")
    shown = settings.environment()
    assert "hush" not in shown
    assert "\nUNDERPAINT_METRICS_TOKEN=***\n" in shown
    assert "\nUNDERPAINT_LEASE_SECONDS=60\n" in shown
    assert "\n#UNDERPAINT_PORT=8000\n" in shown
