"""Options and arguments that several commands share."""

from collections.abc import Sequence
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


def words(allowed: Sequence[str]) -> dict[str, Any]:
    """Arguments of an option whose values are these words: how the help and the completion of shells show it."""
    return {
        "metavar": f"<{'|'.join(allowed)}>",
        "autocompletion": lambda incomplete: [word for word in allowed if word.startswith(incomplete)],
    }


def only(allowed: Sequence[str]) -> dict[str, Any]:
    """The same for an option that may be given several times, and that refuses other values."""

    def check(values: list[str] | None) -> list[str] | None:
        for value in values or []:
            if value not in allowed:
                raise typer.BadParameter(f"{value!r} is not one of {', '.join(allowed)}")
        return values

    return {**words(allowed), "callback": check}


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
