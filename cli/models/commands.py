"""What the sub-commands of `underpaint models` do."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import tomlkit
import typer
from rich.table import Table
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from cli.errors import CommandError
from cli.terminal import console
from cli.terminal import show as print_table
from store.catalog import ModelCard, card_of, load_catalog
from store.model_files import is_file
from store.settings import SHIPPED_CATALOG
from underpaint_command import MODULE

# What describes a model on the hub, beside its weights.
DESCRIPTION = ["*.json", "**/*.json", "*.txt", "**/*.txt", "**/*.model", "README.md"]


def add(catalog: Path | None, source: str, name: str | None, base: str | None, variant: str | None) -> None:
    """Add an entry of `id` and `source`, and what was given."""
    path = _path(catalog)
    document = _read(path)
    entry: dict[str, Any] = {"id": name or _name_of(source), "source": _relative(source, path.parent)}
    entry |= {"base": _relative(base, path.parent)} if base else {}
    entry |= {"variant": variant} if variant else {}
    entries = _entries(document)
    if any(each.get("id") == entry["id"] for each in entries):
        raise CommandError(f"The catalogue has a model {entry['id']} already: choose another name with --id.")
    for place in (source, base):
        _describe(place, path.parent)
    try:
        card = card_of(entry, path.resolve().parent)
    except ValueError as error:
        raise CommandError(f"{source} cannot be added: {error}") from error
    if fault := card.files.fault:
        raise CommandError(f"{source} cannot be added: {fault}.")
    item = tomlkit.table()
    item.update(entry)
    entries.append(item)
    _write(path, document)
    size = f", {card.files.size / 2**30:.2f} GiB in memory" if card.files.size else ""
    typer.echo(f"Added {card.id} to {path}: {card.terms.kind or 'of the hub'}{size}, {card.license}.")
    if os.environ.get("UNDERPAINT_CATALOG") != str(path):
        typer.echo(f"The server reads it with UNDERPAINT_CATALOG={path.resolve()}.", err=True)


def show_all(catalog: Path | None) -> None:
    """Print a table of the models."""
    table = Table(box=None, pad_edge=False)
    for title in ("ID", "PIPELINE", "SIZE", "FILES", "SOURCE"):
        table.add_column(title)
    for card in _cards(catalog).values():
        files = card.files
        state = files.fault or ("here" if files.folder or files.file else "on the hub")
        size = f"{files.size / 2**30:.2f} GiB" if files.size else "–"
        table.add_row(card.id, card.terms.kind or "–", size, state, card.source)
    print_table(console(), table)


def show(catalog: Path | None, name: str) -> None:
    """Print an entry with all that is filled in."""
    card = _card(catalog, name)
    typer.echo(tomlkit.dumps({"models": [card.model_dump(exclude_none=True, mode="json")]}).strip())


def remove(catalog: Path | None, name: str) -> None:
    """Delete an entry."""
    path = _path(catalog)
    document = _read(path)
    entries = _entries(document)
    place = next((n for n, each in enumerate(entries) if each.get("id") == name), None)
    if place is None:
        raise CommandError(f"The catalogue {path} has no model {name}.")
    if len(entries) == 1:
        raise CommandError("A catalogue needs a model: add another one first.")
    del entries[place]
    _write(path, document)
    typer.echo(f"Removed {name} from {path}.")


def pull(catalog: Path | None, name: str) -> None:
    """Download what is on the hub, in a process that has the libraries."""
    _card(catalog, name)
    settings = {**os.environ, "UNDERPAINT_CATALOG": str(_path(catalog).resolve())}
    if subprocess.run([*MODULE, "tasks.pull", name], env=settings, check=False).returncode:
        raise CommandError(f"{name} could not be fetched. Run the command again: what has come stays.")
    typer.echo(f"{name} is here.")


def check(catalog: Path | None) -> None:
    """Print what is wrong with each model."""
    faults = 0
    for card in _cards(catalog).values():
        fault = card.files.fault
        faults += fault is not None
        typer.echo(f"{card.id}: {fault or 'good'}")
    if faults:
        raise CommandError(f"{faults} of the models cannot be loaded.")


def _path(given: Path | None) -> Path:
    return given or Path(os.environ.get("UNDERPAINT_CATALOG") or "catalog.toml")


def _cards(catalog: Path | None) -> dict[str, ModelCard]:
    path = _path(catalog)
    try:
        return load_catalog(path if path.exists() or catalog else SHIPPED_CATALOG)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _card(catalog: Path | None, name: str) -> ModelCard:
    cards = _cards(catalog)
    if name not in cards:
        raise CommandError(f"The catalogue has no model {name}, but {', '.join(cards)}.")
    return cards[name]


def _read(path: Path) -> tomlkit.TOMLDocument:
    """The catalogue; a new one begins with the shipped model, which stays the default."""
    if path.exists():
        try:
            return tomlkit.parse(path.read_text("utf-8"))
        except (OSError, ValueError, TOMLKitError) as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
    document = tomlkit.parse(SHIPPED_CATALOG.read_text("utf-8"))
    for entry in _entries(document):
        entry["source"] = str((SHIPPED_CATALOG.parent / str(entry["source"])).resolve())
    return document


def _entries(document: tomlkit.TOMLDocument) -> AoT:
    entries = document.get("models")
    if not isinstance(entries, AoT):
        raise CommandError("The catalogue has no list of models: each begins with [[models]].")
    return entries


def _write(path: Path, document: tomlkit.TOMLDocument) -> None:
    if path.resolve() == SHIPPED_CATALOG.resolve():
        raise CommandError("The catalogue that ships with the project stays as it is: name another one with --catalog.")
    new = path.with_name(f"{path.name}.new")
    new.write_text(tomlkit.dumps(document), "utf-8")
    new.replace(path)


def _name_of(source: str) -> str:
    stem = Path(source).stem if is_file(source) else Path(source).resolve().name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._").lower() or "model"


def _relative(place: str, folder: Path) -> str:
    """A path as the catalogue names it: relative to it where it lies below it, else absolute."""
    path = Path(place).expanduser()
    if not path.exists():
        return place
    path, folder = path.resolve(), folder.resolve()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _describe(place: str | None, folder: Path) -> None:
    """Fetch the small files of a repository, from which the entry is filled in."""
    if place is None or is_file(place) or place.count("/") != 1 or place.startswith((".", "/", "~")):
        return
    if Path(place).exists() or (folder / place).exists():
        return
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(place, allow_patterns=DESCRIPTION)
    except (OSError, ValueError) as error:
        raise CommandError(f"{place} is no folder here, and the hub does not give it: {error}") from error
