"""What is wrong with the environment, before anything starts: settings, the catalogue, the folders of its models."""

import difflib
import os

import typer

from cli.errors import CommandError
from cli.settings import groups
from store.catalog import load_catalog
from store.settings import (
    CatalogSettings,
    JobSettings,
    LogSettings,
    MetricsSettings,
    PictureSettings,
    TraceSettings,
    WebhookSettings,
    WorkerSettings,
)

# Read by the commands themselves.
OTHERS = ("UNDERPAINT_DATA_DIR", "UNDERPAINT_SERVER", "UNDERPAINT_KEY")


def before_start() -> None:
    """Checks all settings and the catalogue. Prints a warning for each name that is no setting, and for each model
    whose folder is missing.

    Raises:
        CommandError, ValidationError: a setting or the catalogue cannot be used.
    """
    for warning in misspelled():
        typer.echo(f"Warning: {warning}", err=True)
    for settings in (
        JobSettings,
        LogSettings,
        MetricsSettings,
        PictureSettings,
        TraceSettings,
        WebhookSettings,
        WorkerSettings,
    ):
        settings()
    try:
        catalog = load_catalog(CatalogSettings().catalog)
    except ValueError as error:
        first, *rest = str(error).splitlines()
        raise CommandError("\n  ".join([first[:1].upper() + first[1:], *rest[:6]])) from error
    for card in catalog.values():
        if fault := card.files.fault:
            typer.echo(
                f"Warning: model {card.id} cannot be loaded: {fault}. Its jobs will fail until the catalogue or the "
                "files are corrected.",
                err=True,
            )


def misspelled() -> list[str]:
    """A line for each variable of the environment that looks like a setting and is none."""
    known = [*OTHERS, *(setting.name for _, _, listed in groups() for setting in listed)]
    lines: list[str] = []
    for name in sorted(os.environ):
        if name.startswith("UNDERPAINT_") and name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.8)
            lines.append(f"{name} is no setting{f': do you mean {near[0]}?' if near else '.'}")
    return lines
