"""Catalogues with the shipped model, and with others beside it."""

from pathlib import Path

from store.settings import SHIPPED_CATALOG


def entry(**changes: str | float) -> str:
    """The shipped model's entry with other values."""
    text = SHIPPED_CATALOG.read_text("utf-8")
    lines = text[text.index("[[models]]") :].splitlines()
    for name, value in changes.items():
        (place,) = (number for number, line in enumerate(lines) if line.startswith(f"{name} = "))
        lines[place] = f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
    return "\n".join(lines)


def write_catalogue(folder: Path, *more: str) -> Path:
    """Write a catalogue with the shipped model and more entries, whose folders are in ``folder``. Returns its path."""
    (folder / "emoji").symlink_to(SHIPPED_CATALOG.parent / "emoji")
    path = folder / "catalog.toml"
    path.write_text("\n".join([SHIPPED_CATALOG.read_text("utf-8"), *more]), "utf-8")
    return path
