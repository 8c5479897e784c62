"""`underpaint doctor` for typer. It imports what it needs when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import Explaining
from cli.options import SERVER, DataDirectory, Key, Server

app = typer.Typer()


@app.command(rich_help_panel=SERVER)
def doctor(
    load: Annotated[bool, typer.Option("--load", help="Load every model that is on the disk, too.")] = False,
    data_dir: DataDirectory = Path(".underpaint"),
    server: Server = None,
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for what is wrong, and say what to do: settings, models, devices, database, broker, workers, beat,
    API.

    Of the servers that the environment names, or else of those of `underpaint up`. Exit code 1: there is a problem.
    """
    with Explaining():
        from cli.doctor import run

        code = run.doctor(data_dir, server, key, load, as_json)
    raise typer.Exit(code)
