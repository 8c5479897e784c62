"""`underpaint settings` and docs/settings.md: all settings, from the classes of ``store.settings``."""

import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

from pydantic_settings import BaseSettings

from store import settings

ROOT = Path(__file__).resolve().parent.parent

# The processes that read the settings of a class, or a single setting.
_READERS: dict[str, tuple[str, ...]] = {
    "StoreSettings": ("api", "worker", "beat"),
    "PictureSettings": ("api", "worker", "beat"),
    "s3_presigned_seconds": ("api",),
    "s3_public_endpoint": ("api",),
    "s3_sweep_seconds": ("beat",),
    "s3_grace_seconds": ("beat",),
    "JobSettings": ("beat",),
    "upload_retention_seconds": ("api", "beat"),
    "lease_seconds": ("worker", "beat"),
    "heartbeat_seconds": ("worker", "beat"),
    "max_crashes": ("worker", "beat"),
    "preview_cache_seconds": ("worker",),
    "max_running_per_key": ("api", "worker"),
    "LogSettings": ("api", "worker", "beat"),
    "MarkSettings": ("api",),
    "TraceSettings": ("api", "worker"),
    "metrics_host": ("worker", "beat"),
    "worker_metrics_port": ("worker",),
    "beat_metrics_port": ("beat",),
    "metrics_token": ("api",),
    "CatalogSettings": ("api", "worker"),
    "ApiSettings": ("api",),
    "WorkerSettings": ("worker",),
    "WebhookSettings": ("beat",),
    "webhook_allow": ("api", "beat"),
    "webhook_http": ("api", "beat"),
}

_INTRODUCTION = """\
# Settings

Written by `underpaint settings --markdown` from [store/settings.py](../store/settings.py).

Every setting is an environment variable. `docker compose` reads them from [.env](../.env.example), systemd from an
`EnvironmentFile=`. `underpaint settings` prints such a file, with the current values. An empty variable counts as not
set. An invalid value is refused at the start, with the reason. Give all processes the same environment: each reads what
it needs.

The commands read a few more variables: `UNDERPAINT_DATA_DIR` (where `underpaint up` keeps its data, `.underpaint`),
`UNDERPAINT_SERVER` and `UNDERPAINT_KEY` (the server that a command talks to, and the API key that it sends).
"""


@dataclass(frozen=True)
class Setting:
    """One setting, for people."""

    name: str
    default: str
    read_by: tuple[str, ...]
    text: str
    secret: bool


def classes() -> list[type[BaseSettings]]:
    """The classes of settings, in the order of the file."""
    found = [each for each in vars(settings).values() if inspect.isclass(each) and issubclass(each, BaseSettings)]
    return [each for each in found if each.model_fields]


def groups() -> Iterator[tuple[str, str, list[Setting]]]:
    """The name, the description and the settings of each class."""
    for kind in classes():
        title = kind.__name__.removesuffix("Settings")
        yield title, inspect.getdoc(kind) or "", [_setting(kind, name) for name in kind.model_fields]


def markdown() -> str:
    """docs/settings.md."""
    lines = [_INTRODUCTION]
    for title, description, listed in groups():
        lines += [f"## {title}", "", description, "", "| setting | |", "|---|---|"]
        for each in listed:
            default = f"`{each.default}`" if each.default else "none"
            notes = f"*Default:* {default}. *Read by:* {', '.join(each.read_by)}."
            lines.append(f"| `{each.name}` | {each.text} {notes} |")
        lines.append("")
    return "\n".join(lines)


def environment() -> str:
    """All settings as an ``.env`` file, as `docker compose` and systemd read it.

    A setting that is not set here is a comment with its default. The value of a secret is replaced by stars.
    """
    lines: list[str] = []
    for title, _, listed in groups():
        lines += [f"## {title}", ""]
        for each in listed:
            value = os.environ.get(each.name)
            line = f"{each.name}={'***' if each.secret else value}" if value else f"#{each.name}={each.default}"
            lines += [*wrap(each.text, 120, initial_indent="# ", subsequent_indent="# "), line, ""]
    return "\n".join(lines)


def _setting(kind: type[BaseSettings], name: str) -> Setting:
    field = kind.model_fields[name]
    return Setting(
        name=f"UNDERPAINT_{name.upper()}",
        default=_text(field.default),
        read_by=_READERS.get(name) or _READERS[kind.__name__],
        text=" ".join((field.description or "").replace("``", "`").split()),
        secret=not field.repr,
    )


def _text(default: Any) -> str:
    """A default as the value of an environment variable."""
    match default:
        case None | []:
            return ""
        case bool():
            return str(default).lower()
        case Path():
            return str(default.relative_to(ROOT))
        case float():
            return f"{default:g}"
        case _:
            return str(default)
