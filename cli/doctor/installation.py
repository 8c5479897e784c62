"""What needs no server: the settings, the catalogue of models, the devices, the disk."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from cli.doctor.finding import Finding, ok, problem, skipped
from store import settings
from store.catalog import ModelCard, load_catalog

COMMANDS_OWN = {"DATA_DIR", "SERVER", "KEY"}
LEAST_FREE = 2**30  # bytes
PATIENCE = 300  # s that the loading of all models may take


def classes() -> list[type[BaseSettings]]:
    """The classes of settings."""
    return [
        each
        for each in vars(settings).values()
        if isinstance(each, type) and issubclass(each, BaseSettings) and each.__name__.endswith("Settings")
        if each.__module__ == settings.__name__ and each.model_fields
    ]


def versions() -> Finding:
    return ok("version", f"Underpaint {version('underpaint')}, Python {platform.python_version()}, {platform.system()}")


def check_settings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """That all can be used, and that none is misspelt."""
    prefix = "UNDERPAINT_"
    given = {name.removeprefix(prefix) for name in environment if name.startswith(prefix)}
    known = {field.upper() for each in classes() for field in each.model_fields}
    wrong: list[str] = []
    for each in classes():
        try:
            each()
        except ValidationError as error:
            for found in error.errors():
                name = f"{prefix}{str(found['loc'][0]).upper()}: " if found["loc"] else ""
                wrong.append(name + found["msg"].removeprefix("Value error, "))
    if wrong:
        yield problem("settings", "; ".join(wrong), "Change or unset them: `underpaint settings` lists all.")
    if unknown := sorted(given - known - COMMANDS_OWN):
        named = ", ".join(prefix + name for name in unknown)
        yield problem("settings", f"{named}: no such setting.", "Look for a slip: `underpaint settings` lists all.")
    if not wrong and not unknown:
        number = len(given & known)
        yield ok("settings", f"{number} set, the others have their defaults" if number else "all have their defaults")


def catalogue() -> tuple[Finding, list[ModelCard]]:
    """That it can be read, and that what it names is there."""
    try:
        path = settings.CatalogSettings().catalog
        cards = list(load_catalog(path).values())
    except ValidationError:
        return skipped("models", "not looked at: the settings cannot be used"), []
    except ValueError as error:
        return problem("models", str(error), "Mend the file, or name another one in UNDERPAINT_CATALOG."), []
    missing = [card for card in cards if card.location.startswith("/") and not _index(card).is_file()]
    if missing:
        lines = "; ".join(f"{card.id}: there is no {_index(card)}" for card in missing)
        return problem("models", lines, f"Correct `source` in {path}, or put the models there."), cards
    hub = [card.id for card in cards if not card.location.startswith("/")]
    more = f"; from the hub, when first used: {', '.join(hub)}" if hub else ""
    return ok("models", f"{', '.join(card.id for card in cards)}, in {path}{more}"), cards


def disk(data: Path | None) -> Finding:
    """That the data directory has room."""
    if data is None:
        return skipped("disk", "no data of `underpaint up` here")
    free = shutil.disk_usage(data).free
    said = f"{free / 2**30:.1f} GiB free at {data}"
    return ok("disk", said) if free >= LEAST_FREE else problem("disk", said, "Make room, or move the data directory.")


class Probe:
    """A process that may load PyTorch, as this one does not: it looks at the devices, and loads models if told so."""

    def __init__(self, load: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tasks.probe", *(["--load"] if load else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TRANSFORMERS_VERBOSITY": "error"},
        )

    def findings(self) -> Iterator[Finding]:
        """What it has found, when it has ended."""
        errors = f"it took longer than {PATIENCE} s"
        try:
            said, errors = self._process.communicate(timeout=PATIENCE)
            found: dict[str, Any] = json.loads(said)
        except (subprocess.TimeoutExpired, ValueError):
            self._process.kill()
            last = errors.strip().rpartition("\n")[2]
            yield problem("devices", f"PyTorch does not work here: {last}", "Install Underpaint and PyTorch anew.")
            return
        broken = [f"{name}: {error}" for name, error in found["devices"].items() if error]
        if broken:
            yield problem("devices", "; ".join(broken), "Change UNDERPAINT_DEVICE, or see to the device's driver.")
        else:
            yield ok("devices", f"{', '.join(found['about'])}; PyTorch {found['torch']}")
        for model, error in found["models"].items():
            if error:
                yield problem(
                    "loading", f"{model}: {error}", "The worker fails the jobs of this model: mend its files."
                )
            else:
                yield ok("loading", f"{model} was loaded")


def _index(card: ModelCard) -> Path:
    return Path(card.location) / "model_index.json"
