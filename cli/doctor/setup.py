"""What there is to look at: the servers that the environment names, or else those of `underpaint up`."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cli.up.datadir import DataDir
from cli.up.postgres import Postgres
from store.settings import StoreSettings
from underpaint.connection import SERVER


@dataclass(frozen=True)
class Setup:
    """Where things are; None where there is no such thing.

    Attributes:
        database, broker: their URLs.
        server: the address of the API.
        data: the data directory, if there is one.
        up: whether `underpaint up` runs on it.
    """

    database: str | None
    broker: str | None
    server: str
    data: Path | None
    up: bool


def look(data_dir: Path, server: str | None) -> Setup:
    """Finds out; ``server`` goes before what is found."""
    data = DataDir(data_dir)
    there = (data.postgres / "PG_VERSION").exists() or data.record.path.exists()
    up = any(process.find() for process in data.record.processes())
    named = {name for name in ("DATABASE", "REDIS") if os.environ.get(f"UNDERPAINT_{name}_URL")}
    settings = StoreSettings()
    # Where one is named and there is no `up`, the other has its default.
    database = settings.database_url if "DATABASE" in named or (named and not up) else None
    broker = settings.redis_url if "REDIS" in named or (named and not up) else None
    if up:
        database = database or Postgres(data.postgres, lambda _: None).url
        broker = broker or _valkey(data)
    return Setup(database, broker, server or (up and data.record.url) or SERVER, data.path if there else None, up)


def _valkey(data: DataDir) -> str | None:
    try:
        settings = dict(re.findall(r"^(port|requirepass) (\S+)$", (data.valkey / "valkey.conf").read_text(), re.M))
        return f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"
    except (OSError, KeyError):
        return None
