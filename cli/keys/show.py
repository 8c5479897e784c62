"""What `underpaint keys` prints. A new key itself, and nothing else, goes to stdout, so that a script can catch it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from store.tables import ApiKey

COLUMNS = ("NAME", "KEY", "STATE", "SCOPES", "RATE", "RUNNING", "QUEUED", "CREATED", "EXPIRES", "LAST USED")


def made(kept: ApiKey, key: str, *, as_json: bool) -> None:
    """A key that was made just now, and what is kept of it."""
    if as_json:
        typer.echo(json.dumps({**_facts(kept), "key": key}, indent=2))
        return
    typer.echo(key)
    typer.echo(
        f"This is the key {kept.name!r} ({', '.join(kept.scopes)}). It is shown this once. Send it in the header\n"
        "Authorization: Bearer KEY, or set UNDERPAINT_KEY to it for the commands.",
        err=True,
    )


def revoked(kept: ApiKey, *, as_json: bool) -> None:
    """A key that was revoked just now."""
    typer.echo(
        json.dumps(_facts(kept), indent=2) if as_json else f"The key {kept.name!r} stops to work within seconds."
    )


def listed(kept: Sequence[ApiKey], *, as_json: bool) -> None:
    """All keys."""
    if as_json:
        typer.echo(json.dumps([_facts(each) for each in kept], indent=2))
        return
    if not kept:
        typer.echo("There are no keys: the server asks for none, and listens on this machine only.")
        return
    rows = [COLUMNS, *(_row(each) for each in kept)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(kept: ApiKey) -> tuple[str, ...]:
    limits = (kept.requests_per_minute, kept.max_running, kept.max_queued)
    times = (kept.created_at, kept.expires_at, kept.last_used_at)
    return (
        kept.name,
        f"{kept.prefix}…",
        _state(kept),
        ",".join(kept.scopes),
        *("-" if limit is None else str(limit) for limit in limits),
        *("-" if time is None else f"{time:%Y-%m-%d %H:%M}" for time in times),
    )


def _state(kept: ApiKey) -> str:
    if kept.revoked_at:
        return "revoked"
    return "expired" if kept.expires_at and kept.expires_at <= datetime.now(UTC) else "works"


def _facts(kept: ApiKey) -> dict[str, Any]:
    times = {"created_at", "expires_at", "revoked_at", "last_used_at"}
    names = ("name", "prefix", "scopes", "requests_per_minute", "max_running", "max_queued", *sorted(times))
    found = {name: getattr(kept, name) for name in names}
    return {"state": _state(kept)} | {
        name: value.isoformat() if name in times and value else value for name, value in found.items()
    }
