"""Checks that need no server: settings, catalogue of models, devices, disk."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cli.doctor.findings import Finding, ok, problem, skipped
from cli.settings import classes
from store.catalog import ModelCard, load_catalog
from store.settings import CatalogSettings
from underpaint_command import MODULE

COMMAND_VARIABLES = {"DATA_DIR", "SERVER", "KEY"}  # variables that are no settings
LEAST_FREE = 2**30  # bytes
LONGEST_PROBE = 300  # s, for loading all models


def versions() -> Finding:
    return ok("version", f"Underpaint {version('underpaint')}, Python {platform.python_version()}, {platform.system()}")


def check_settings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Checks that all settings are valid, and that none is misspelt."""
    prefix = "UNDERPAINT_"
    present = {name.removeprefix(prefix) for name in environment if name.startswith(prefix)}
    known = {field.upper() for each in classes() for field in each.model_fields}
    invalid: list[str] = []
    for each in classes():
        try:
            each()
        except ValidationError as error:
            for fault in error.errors():
                name = f"{prefix}{str(fault['loc'][0]).upper()}: " if fault["loc"] else ""
                invalid.append(name + fault["msg"].removeprefix("Value error, "))
    if invalid:
        yield problem("settings", "; ".join(invalid), "Change or unset them: `underpaint settings` lists all.")
    if unknown := sorted(present - known - COMMAND_VARIABLES):
        names = ", ".join(prefix + name for name in unknown)
        yield problem("settings", f"{names}: no such setting.", "Check the spelling: `underpaint settings` lists all.")
    if not invalid and not unknown:
        count = len(present & known)
        yield ok("settings", f"{count} set, the others have their defaults" if count else "all have their defaults")


def catalogue() -> tuple[Finding, list[ModelCard]]:
    """Checks that the catalogue can be read, and that the models on disk are whole; returns the models too."""
    try:
        path = CatalogSettings().catalog
        cards = list(load_catalog(path).values())
    except ValidationError:
        return skipped("models", "not checked: the settings are invalid"), []
    except ValueError as error:
        return problem("models", str(error), "Correct the file, or name another one in UNDERPAINT_CATALOG."), []
    found = {card.id: card.files for card in cards}
    if faults := [f"{name}: {files.fault}" for name, files in found.items() if files.fault]:
        return problem("models", "; ".join(faults), f"Correct the entry in {path}, or repair the files."), cards
    hub = [name for name, files in found.items() if files.folder is None]
    more = f"; from the hub, when first used: {', '.join(hub)}" if hub else ""
    return ok("models", f"{', '.join(card.id for card in cards)}, in {path}{more}"), cards


def disk(data: Path | None) -> Finding:
    """Checks that the data directory has free space."""
    if data is None:
        return skipped("disk", "there is no data directory of `underpaint up` here")
    free = shutil.disk_usage(data).free
    detail = f"{free / 2**30:.1f} GiB free at {data}"
    if free < LEAST_FREE:
        return problem("disk", detail, "Free some space, or move the data directory.")
    return ok("disk", detail)


class Probe:
    """Another process, which loads PyTorch: it checks the devices and, with ``load``, loads every model."""

    def __init__(self, load: bool) -> None:
        self._process = subprocess.Popen(
            [*MODULE, "tasks.probe", *(["--load"] if load else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TRANSFORMERS_VERBOSITY": "error"},
        )

    def findings(self) -> Iterator[Finding]:
        """The findings, when the process has ended."""
        errors = f"it took longer than {LONGEST_PROBE} s"
        try:
            output, errors = self._process.communicate(timeout=LONGEST_PROBE)
            found: dict[str, Any] = json.loads(output)
        except (subprocess.TimeoutExpired, ValueError):
            self._process.kill()
            last = errors.strip().rpartition("\n")[2]
            yield problem("devices", f"PyTorch does not work here: {last}", "Reinstall Underpaint and PyTorch.")
            return
        broken = [f"{name}: {error}" for name, error in found["devices"].items() if error]
        if broken:
            yield problem("devices", "; ".join(broken), "Change UNDERPAINT_DEVICE, or check the driver of the device.")
        else:
            yield ok("devices", f"{', '.join(found['about'])}; PyTorch {found['torch']}")
        for model, told in found["models"].items():
            if error := told["error"]:
                yield problem("loading", f"{model}: {error}", "Jobs of this model would fail: repair its files.")
            else:
                yield ok("loading", f"{model} was loaded" + (f"; it is {told['note']}" if told["note"] else ""))
