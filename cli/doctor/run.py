"""`underpaint doctor`, from start to end."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from pydantic import ValidationError
from rich.status import Status
from rich.table import Table
from rich.text import Text

from cli.doctor import installation, services
from cli.doctor.finding import Finding, ok, problem, skipped
from cli.doctor.setup import Setup, look
from cli.terminal import console, show

STYLES = {"ok": "green", "problem": "bold red", "skipped": "dim"}


def doctor(data_dir: Path, server: str | None, key: str | None, load: bool, as_json: bool) -> int:
    """Checks everything, prints what it finds, and returns the exit code: 1 where there is a problem."""
    with Status("Looking", console=console(err=True)):
        found = list(_findings(data_dir, server, key, load))
    well = all(each.state != "problem" for each in found)
    if as_json:
        typer.echo(json.dumps({"ok": well, "checks": [asdict(each) for each in found]}, indent=2))
    else:
        _print(found, well)
    return 0 if well else 1


def _findings(data_dir: Path, server: str | None, key: str | None, load: bool) -> Iterator[Finding]:
    probe = installation.Probe(load)  # takes seconds: the other checks go on meanwhile
    yield installation.versions()
    yield from installation.check_settings(os.environ)
    models, cards = installation.catalogue()
    yield models
    try:
        setup = look(data_dir, server)
    except ValidationError:
        yield skipped("services", "not looked at: the settings cannot be used")
    else:
        yield installation.disk(setup.data)
        yield _up(setup)
        yield services.database(setup.database)
        yield from services.broker(setup.broker, [card.id for card in cards])
        yield from services.api(setup.server, key)
    yield from probe.findings()


def _up(setup: Setup) -> Finding:
    if setup.up:
        return ok("up", f"`underpaint up` runs on {setup.data}")
    if setup.database or setup.data is None:
        return skipped("up", "it does not run here")
    return problem("up", f"`underpaint up` does not run on {setup.data}.", f"{services.START}.")


def _print(found: Sequence[Finding], well: bool) -> None:
    out = console()
    table = Table.grid(padding=(0, 2, 0, 0))
    for each in found:
        table.add_row(Text(each.state, STYLES[each.state]), each.name, Text(each.detail))
        if each.advice:
            table.add_row("", "", Text(f"→ {each.advice}", "bold"))
    show(out, table)
    problems = sum(each.state == "problem" for each in found)
    out.print("\nAll is well." if well else f"\n{problems} problem{'s' * (problems > 1)}.")
