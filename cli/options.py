"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

# The groups of commands in the help.
PICTURES = "Pictures"
SERVER = "A server of your own"

Server = Annotated[
    str | None,
    typer.Option(envvar="UNDERPAINT_SERVER", help="The address of the server.", show_default="http://127.0.0.1:8000"),
]
Key = Annotated[
    str | None,
    typer.Option(envvar="UNDERPAINT_KEY", help="An API key, if the server requires one. See `underpaint keys`."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the JSON of the API.")]
DataDirectory = Annotated[
    Path,
    typer.Option(
        envvar="UNDERPAINT_DATA_DIR",
        help="Where `underpaint up` keeps its database. Not used if UNDERPAINT_DATABASE_URL is set.",
    ),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="The folder to save in; created if it is missing.")]
Detach = Annotated[bool, typer.Option("--detach", help="Print the id of the job, and do not follow it.")]


def _complete(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest jobs, for the completion of shells. Errors would only disturb the prompt."""
    from cli.terminal import clean
    from underpaint import Underpaint, UnderpaintError

    try:
        with Underpaint(context.params.get("server"), context.params.get("key"), patience=0) as client:
            jobs = client.page(limit=50).jobs
    except UnderpaintError:
        return []
    ids: list[tuple[str, str]] = [("last", "the newest job")] if jobs else []
    ids += [(str(job.id)[:8], clean(f"{job.state}: {job.request.prompt}")) for job in jobs]
    return [each for each in ids if each[0].startswith(incomplete)]


_ID: dict[str, Any] = {
    "metavar": "ID",
    "help": "The id of a job, its beginning, or `last`.",
    "autocompletion": _complete,
}
JobId = Annotated[str, typer.Argument(**_ID)]
JobIds = Annotated[list[str], typer.Argument(**{**_ID, "metavar": "ID...", "help": "Ids of jobs, beginnings, `last`."})]
