"""The output of `underpaint keys`. Of a new key, only the key itself goes to stdout, for scripts."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from store.tables import ApiKey

COLUMNS = ("NAME", "KEY", "STATE", "SCOPES", "RATE", "RUNNING", "QUEUED", "CREATED", "EXPIRES", "LAST USED")


def created(row: ApiKey, key: str, *, as_json: bool) -> None:
    """A key that was just created, and its row."""
    if as_json:
        typer.echo(json.dumps({**_facts(row), "key": key}, indent=2))
        return
    typer.echo(key)
    typer.echo(
        f"This is the key {row.name!r} ({', '.join(row.scopes)}). It is shown only once. Send it in the header\n"
        "Authorization: Bearer KEY, or set UNDERPAINT_KEY to it for the commands.",
        err=True,
    )


def revoked(row: ApiKey, *, as_json: bool) -> None:
    """A key that was just revoked."""
    typer.echo(json.dumps(_facts(row), indent=2) if as_json else f"The key {row.name!r} stops working within seconds.")


def listed(rows: Sequence[ApiKey], *, as_json: bool) -> None:
    """All keys."""
    if as_json:
        typer.echo(json.dumps([_facts(each) for each in rows], indent=2))
        return
    if not rows:
        typer.echo("There are no keys: the server requires none, and listens on this machine only.")
        return
    lines = [COLUMNS, *(_cells(each) for each in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(row: ApiKey) -> tuple[str, ...]:
    limits = (row.requests_per_minute, row.max_running, row.max_queued)
    times = (row.created_at, row.expires_at, row.last_used_at)
    return (
        row.name,
        f"{row.prefix}…",
        _state(row),
        ",".join(row.scopes),
        *("-" if limit is None else str(limit) for limit in limits),
        *("-" if time is None else f"{time:%Y-%m-%d %H:%M}" for time in times),
    )


def _state(row: ApiKey) -> str:
    if row.revoked_at:
        return "revoked"
    return "expired" if row.expires_at and row.expires_at <= datetime.now(UTC) else "works"


def _facts(row: ApiKey) -> dict[str, Any]:
    times = {"created_at", "expires_at", "revoked_at", "last_used_at"}
    names = ("name", "prefix", "scopes", "requests_per_minute", "max_running", "max_queued", *sorted(times))
    found = {name: getattr(row, name) for name in names}
    return {"state": _state(row)} | {
        name: value.isoformat() if name in times and value else value for name, value in found.items()
    }
