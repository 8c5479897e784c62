"""Every setting there is, from the classes of ``store.settings``: `underpaint settings`, and docs/settings.md."""

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

# Who reads the settings of a class, but for those that have a line of their own.
_READERS: dict[str, tuple[str, ...]] = {
    "StoreSettings": ("api", "worker", "beat"),
    "JobSettings": ("beat",),
    "lease_seconds": ("worker", "beat"),
    "heartbeat_seconds": ("worker", "beat"),
    "max_crashes": ("worker", "beat"),
    "preview_cache_seconds": ("worker",),
    "max_running_per_key": ("api", "worker"),
    "LogSettings": ("api", "worker", "beat"),
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

_HEAD = """\
# Settings

Written by `underpaint settings --markdown` from [store/settings.py](../store/settings.py).

Every setting is an environment variable. `docker compose` reads them from [.env](../.env.example), systemd from an
`EnvironmentFile=`; `underpaint settings` prints such a file, with the values that hold where it runs. An empty variable
counts as one that is not set. A value that cannot be is refused at the start, with the reason. Give all processes the
same environment: each reads what it needs.

The commands have a few variables besides: `UNDERPAINT_DATA_DIR` (where `underpaint up` keeps its data, `.underpaint`),
`UNDERPAINT_SERVER` and `UNDERPAINT_KEY` (which server a command talks to, and the API key that it sends).
"""


@dataclass(frozen=True)
class Setting:
    """One setting, in words."""

    name: str
    default: str
    read_by: tuple[str, ...]
    text: str
    secret: bool


def groups() -> Iterator[tuple[str, str, list[Setting]]]:
    """(name, what it is about, its settings) of each class, in the order of the file."""
    for kind in vars(settings).values():
        if inspect.isclass(kind) and issubclass(kind, BaseSettings) and kind.model_fields:
            title = kind.__name__.removesuffix("Settings")
            yield title, inspect.getdoc(kind) or "", [_setting(kind, name) for name in kind.model_fields]


def markdown() -> str:
    """docs/settings.md."""
    lines = [_HEAD]
    for title, about, listed in groups():
        lines += [f"## {title}", "", about, "", "| setting | |", "|---|---|"]
        for each in listed:
            default = f"`{each.default}`" if each.default else "none"
            notes = f"*Default:* {default}. *Read by:* {', '.join(each.read_by)}."
            lines.append(f"| `{each.name}` | {each.text} {notes} |")
        lines.append("")
    return "\n".join(lines)


def environment() -> str:
    """All of them in the form of an ``.env`` file, which `docker compose` and systemd read.

    What is not set here is a comment with the default; in place of a secret that is set there are stars.
    """
    lines: list[str] = []
    for title, _, listed in groups():
        lines += [f"## {title}", ""]
        for each in listed:
            given = os.environ.get(each.name)
            value = f"#{each.name}={each.default}" if not given else f"{each.name}={'***' if each.secret else given}"
            lines += [*wrap(each.text, 120, initial_indent="# ", subsequent_indent="# "), value, ""]
    return "\n".join(lines)


def _setting(kind: type[BaseSettings], name: str) -> Setting:
    field = kind.model_fields[name]
    return Setting(
        name=f"UNDERPAINT_{name.upper()}",
        default=_words(field.default),
        read_by=_READERS.get(name) or _READERS[kind.__name__],
        text=" ".join((field.description or "").replace("``", "`").split()),
        secret=not field.repr,
    )


def _words(default: Any) -> str:
    """As one would write it in the environment."""
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
