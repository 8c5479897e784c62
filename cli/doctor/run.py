"""`underpaint doctor`: which servers are checked, the order of the checks, and their output."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from pydantic import ValidationError
from rich.status import Status
from rich.table import Table
from rich.text import Text

from cli.doctor import installation, services
from cli.doctor.findings import Finding, ok, problem, skipped
from cli.terminal import console, show
from cli.up.datadir import DataDir
from cli.up.postgres import Postgres
from store.settings import StoreSettings
from underpaint.connection import SERVER

SERVICES = ("services", "database", "broker", "workers", "beat", "api")
"""Without one of them no server works: a check that was skipped is no good news."""

STYLES = {"ok": "green", "problem": "bold red", "skipped": "dim"}


@dataclass(frozen=True)
class Targets:
    """What is checked: the servers that the environment names, or else those of `underpaint up`.

    Attributes:
        database, broker: their URLs; None if there is none.
        server: the URL of the API.
        data: the data directory; None if there is none.
        up: whether `underpaint up` runs on it.
    """

    database: str | None
    broker: str | None
    server: str
    data: Path | None
    up: bool


def doctor(data_dir: Path, server: str | None, key: str | None, load: bool, as_json: bool) -> int:
    """Checks everything, prints the findings, and returns the exit code: 1 if there is a problem."""
    with Status("Checking", console=console(err=True)):
        findings = list(_findings(data_dir, server, key, load))
    problems = sum(each.state == "problem" for each in findings)
    if as_json:
        typer.echo(json.dumps({"ok": not problems, "checks": [asdict(each) for each in findings]}, indent=2))
    else:
        _print(findings, problems)
    return 1 if problems else 0


def find_targets(data_dir: Path, server: str | None) -> Targets:
    """Finds what there is to check; ``server`` takes precedence."""
    data = DataDir(data_dir)
    exists = (data.postgres / "PG_VERSION").exists() or data.record.path.exists()
    up = any(process.find() for process in data.record.processes())
    named = {name for name in ("DATABASE", "REDIS") if os.environ.get(f"UNDERPAINT_{name}_URL")}
    settings = StoreSettings()
    # If only one of them is named and `up` does not run, the other one is at the default of its setting.
    database = settings.database_url if "DATABASE" in named or (named and not up) else None
    broker = settings.redis_url if "REDIS" in named or (named and not up) else None
    if up:
        database = database or Postgres(data.postgres, lambda _: None).url
        broker = broker or _embedded_valkey(data)
    return Targets(database, broker, server or (up and data.record.url) or SERVER, data.path if exists else None, up)


def _embedded_valkey(data: DataDir) -> str | None:
    try:
        settings = dict(re.findall(r"^(port|requirepass) (\S+)$", (data.valkey / "valkey.conf").read_text(), re.M))
        return f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"
    except (OSError, KeyError):
        return None


def _findings(data_dir: Path, server: str | None, key: str | None, load: bool) -> Iterator[Finding]:
    probe = installation.Probe(load)  # it takes seconds, during which the other checks run
    yield installation.versions()
    yield from installation.check_settings(os.environ)
    models, cards = installation.catalogue()
    yield models
    try:
        targets = find_targets(data_dir, server)
    except ValidationError:
        yield skipped("services", "not checked: the settings are invalid")
    else:
        yield installation.disk(targets.data)
        yield _up(targets)
        yield services.database(targets.database)
        yield services.pictures(targets.database)
        yield from services.broker(targets.broker, [card.id for card in cards])
        yield from services.api(targets.server, key)
    yield from probe.findings()


def _up(targets: Targets) -> Finding:
    if targets.up:
        return ok("up", f"`underpaint up` runs on {targets.data}")
    if targets.database or targets.data is None:
        return skipped("up", "it does not run here")
    return problem("up", f"`underpaint up` does not run on {targets.data}.", f"{services.START}.")


def _print(findings: Sequence[Finding], problems: int) -> None:
    out = console()
    table = Table.grid(padding=(0, 2, 0, 0))
    for each in findings:
        table.add_row(Text(each.state, STYLES[each.state]), each.name, Text(each.detail))
        if each.advice:
            table.add_row("", "", Text(f"→ {each.advice}", "bold"))
    show(out, table)
    out.print(f"\n{_verdict(findings, problems)}")


def _verdict(findings: Sequence[Finding], problems: int) -> str:
    if problems:
        return f"{problems} problem{'s' * (problems > 1)}."
    unchecked = [each.name for each in findings if each.state == "skipped" and each.name in SERVICES]
    if unchecked:
        return f"No problem was found, but there was nothing to check of: {', '.join(unchecked)}."
    return "All is well."
