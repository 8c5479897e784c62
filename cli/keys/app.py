"""The sub-commands of `underpaint keys`. Like those of `cli.main` they import what they need when they run."""

import re
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from cli.errors import report_errors
from cli.options import DataDirectory, only
from contract.words import Scope

app = typer.Typer(
    help="Create, list, replace and revoke API keys. As soon as there is a key, the server requires one.",
    no_args_is_help=True,
)


Scopes = Annotated[
    list[str],
    typer.Option(
        "--scope",
        help="What the key may do; may be given several times. admin may do everything with all jobs.",
        **only(get_args(Scope)),
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The name of the key.")]


def _name(name: str) -> str:
    if not re.fullmatch(r"[\w.@+-]{1,64}", name):
        raise typer.BadParameter("must be 1 to 64 letters, digits or any of _ . @ + -")
    return name


@app.command()
def create(
    name: Annotated[str, typer.Argument(callback=_name, help="The owner of the key; no two keys have the same name.")],
    scope: Scopes = ["submit", "read"],  # noqa: B006
    expires: Annotated[
        int | None, typer.Option(min=1, max=36500, help="Days until the key expires. By default never.")
    ] = None,
    rate: Annotated[
        int | None, typer.Option(min=1, help="Requests per minute. By default that of the server's settings.")
    ] = None,
    max_running: Annotated[
        int | None, typer.Option(min=1, help="Jobs that run at once. By default that of the server's settings.")
    ] = None,
    max_queued: Annotated[
        int | None, typer.Option(min=1, help="Jobs that wait at once. By default that of the server's settings.")
    ] = None,
    data_dir: DataDirectory = Path(".underpaint"),
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. It is shown only once: the database holds only its hash."""
    with report_errors():
        from cli.keys import commands, show

        limits = {"requests_per_minute": rate, "max_running": max_running, "max_queued": max_queued}
        show.created(
            *commands.create(data_dir, name, cast(list[Scope], scope), expires_days=expires, **limits),
            as_json=as_json,
        )


@app.command("list")
def list_keys(data_dir: DataDirectory = Path(".underpaint"), as_json: AsJson = False) -> None:
    """List all keys, also those that are revoked or expired."""
    with report_errors():
        from cli.keys import commands, show

        show.listed(commands.listed(data_dir), as_json=as_json)


@app.command()
def rotate(name: Name, data_dir: DataDirectory = Path(".underpaint"), as_json: AsJson = False) -> None:
    """Replace a key by a new one, for instance because it leaked. Its jobs, scopes and limits stay. The old key stops
    working within seconds."""
    with report_errors():
        from cli.keys import commands, show

        show.created(*commands.rotate(data_dir, name), as_json=as_json)


@app.command()
def revoke(name: Name, data_dir: DataDirectory = Path(".underpaint"), as_json: AsJson = False) -> None:
    """Revoke a key: it stops working within seconds. Its jobs stay; keys with the scope admin see them."""
    with report_errors():
        from cli.keys import commands, show

        show.revoked(commands.revoke(data_dir, name), as_json=as_json)
