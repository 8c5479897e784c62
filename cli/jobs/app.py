"""The commands about jobs. Like those of `cli.main` they import what they need when they run."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from cli.errors import report_errors
from cli.options import PICTURES, AsJson, JobId, JobIds, Key, Server, only
from contract.words import State

app = typer.Typer()


@app.command(rich_help_panel=PICTURES)
def jobs(
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only jobs in this state; may be given several times.", **only(get_args(State))),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only jobs of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The most jobs to list.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="The end of an earlier list: its `next_cursor`.")] = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with report_errors():
        from cli.jobs import commands, show

        page = commands.listed(server, key, limit, cursor, state or [], model)
        if as_json:
            show.document(show.plain(page))
        else:
            show.jobs(page)


@app.command(rich_help_panel=PICTURES)
def show(
    job: JobId,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Save its pictures there; created if it is missing.")
    ] = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show a job, the figures of its iterates and, if the terminal has colours, its newest pictures.

    With the name of a file instead: how the picture in it was made, as it says itself.

    With --json: the job with its `iterates`, or what the picture says.
    """
    with report_errors():
        from cli.jobs import commands

        if (file := Path(job)).is_file():
            commands.told(file, as_json)
        else:
            commands.shown(server, key, job, save, as_json)


@app.command(rich_help_panel=PICTURES)
def cancel(jobs: JobIds, server: Server = None, key: Key = None) -> None:
    """Stop jobs. Their pictures are kept."""
    with report_errors():
        from cli.jobs import commands

        commands.canceled(server, key, jobs)


@app.command(rich_help_panel=PICTURES)
def accept(job: JobId, server: Server = None, key: Key = None) -> None:
    """End a running job with its newest pictures. It can be refined later."""
    with report_errors():
        from cli.jobs import commands

        commands.accepted(server, key, job)


@app.command(rich_help_panel=PICTURES)
def delete(
    jobs: JobIds,
    server: Server = None,
    key: Key = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete jobs that have ended, with their pictures."""
    with report_errors():
        from cli.jobs import commands

        commands.deleted(server, key, jobs, yes)
