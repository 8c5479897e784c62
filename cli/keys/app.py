"""The sub-commands of `underpaint keys`. Like those in `cli.main` they import what they need when they run."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import Explaining
from cli.options import DataDirectory

app = typer.Typer(
    help="Make, list, replace and revoke API keys. From the first key on, the server asks for one.",
    no_args_is_help=True,
)


class KeyScope(StrEnum):
    """``contract.words.Scope``, for typer."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


Scopes = Annotated[
    list[KeyScope],
    typer.Option("--scope", help="What it may do; may be given several times. admin may do everything, to all jobs."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The name of the key.")]


def _name(name: str) -> str:
    if not re.fullmatch(r"[\w.@+-]{1,64}", name):
        raise typer.BadParameter("must be 1 to 64 letters, digits or any of _ . @ + -")
    return name


@app.command()
def create(
    name: Annotated[str, typer.Argument(callback=_name, help="Whose key it is; no two keys have the same name.")],
    scope: Scopes = [KeyScope.SUBMIT, KeyScope.READ],  # noqa: B006
    expires: Annotated[int | None, typer.Option(min=1, max=36500, help="After so many days. By default never.")] = None,
    rate: Annotated[
        int | None, typer.Option(min=1, help="Requests a minute. By default what the server's settings say.")
    ] = None,
    max_running: Annotated[
        int | None, typer.Option(min=1, help="Jobs that run at once. By default what the server's settings say.")
    ] = None,
    max_queued: Annotated[
        int | None, typer.Option(min=1, help="Jobs that wait at once. By default what the server's settings say.")
    ] = None,
    data_dir: DataDirectory = Path(".underpaint"),
    as_json: AsJson = False,
) -> None:
    """Make a key and print it. It is shown this once: what is stored does not tell it."""
    with Explaining():
        from cli.keys import commands, show

        limits = {"requests_per_minute": rate, "max_running": max_running, "max_queued": max_queued}
        show.made(
            *commands.create(data_dir, name, [each.value for each in scope], expires_days=expires, **limits),
            as_json=as_json,
        )


@app.command("list")
def list_keys(data_dir: DataDirectory = Path(".underpaint"), as_json: AsJson = False) -> None:
    """List the keys, those that work no longer too."""
    with Explaining():
        from cli.keys import commands, show

        show.listed(commands.listed(data_dir), as_json=as_json)


@app.command()
def rotate(name: Name, data_dir: DataDirectory = Path(".underpaint"), as_json: AsJson = False) -> None:
    """Replace a key by a new one, for instance because it got known. Its jobs, scopes and limits stay. The old one
    stops to work within seconds."""
    with Explaining():
        from cli.keys import commands, show

        show.made(*commands.rotate(data_dir, name), as_json=as_json)


@app.command()
def revoke(name: Name, data_dir: DataDirectory = Path(".underpaint"), as_json: AsJson = False) -> None:
    """Let a key work no longer, within seconds. Its jobs stay, for keys with the scope admin to see."""
    with Explaining():
        from cli.keys import commands, show

        show.revoked(commands.revoke(data_dir, name), as_json=as_json)
