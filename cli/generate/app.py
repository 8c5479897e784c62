"""The commands `generate`, `edit` and `refine`. Like those of `cli.main` they import what they need when they run."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import report_errors
from cli.options import PICTURES, Detach, JobId, Key, Output, Server
from cli.request_options import EditCommand, RefineCommand, RequestCommand

app = typer.Typer()

FinalJson = Annotated[
    bool, typer.Option("--json", help="Print the JSON of the job when it has ended, instead of the paths.")
]
Draw = Annotated[
    bool | None, typer.Option("--draw/--no-draw", help="Draw the newest pictures in the terminal, if it has colours.")
]
CODES = (
    "Exit codes: 0 succeeded, 1 refused, 2 wrong usage, 3 the job failed, 4 somebody else canceled it, 5 no server, "
    "130 canceled by Ctrl-C."
)


@app.command(cls=RequestCommand, epilog=CODES, rich_help_panel=PICTURES)
def generate(
    context: typer.Context,
    prompt: Annotated[list[str] | None, typer.Argument(help="What the pictures show; quotes are not needed.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", allow_dash=True, help="Take a prompt from each line of this file instead; -: stdin."
        ),
    ] = None,
    output: Output = Path(),
    server: Server = None,
    key: Key = None,
    draw: Draw = True,
    detach: Detach = False,
    as_json: FinalJson = False,
) -> None:
    """Generate pictures of PROMPT on a running server, and save every iterate as it comes.

    Options that are left out have the model's defaults. The paths of the pictures go to stdout. Ctrl-C cancels the job.
    """
    with report_errors():
        from cli.generate import run

        options = run.Options(output, detach, as_json, bool(draw))
        code = run.generate(server, key, options, run.prompts(prompt or [], file), context.obj)
    raise typer.Exit(code)


@app.command(cls=EditCommand, epilog=CODES, rich_help_panel=PICTURES)
def edit(
    context: typer.Context,
    picture: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="The picture to change: a file, or a job by its id, its beginning, or `last`."
        ),
    ],
    prompt: Annotated[list[str], typer.Argument(help="What the picture shows then; quotes are not needed.")],
    output: Output = Path(),
    server: Server = None,
    key: Key = None,
    draw: Draw = True,
    detach: Detach = False,
    as_json: FinalJson = False,
) -> None:
    """Change the picture in FILE, or a part of it, to PROMPT, and save every iterate as it comes.

    The same as `generate --image FILE PROMPT`. --strength says how much changes, and --mask which part.
    """
    with report_errors():
        from cli.generate import run

        options = run.Options(output, detach, as_json, bool(draw))
        code = run.generate(server, key, options, run.prompts(prompt, None), {**context.obj, "image": picture})
    raise typer.Exit(code)


@app.command(cls=RefineCommand, epilog=CODES, rich_help_panel=PICTURES)
def refine(
    context: typer.Context,
    job: JobId,
    output: Output = Path(),
    server: Server = None,
    key: Key = None,
    draw: Draw = True,
    detach: Detach = False,
    as_json: FinalJson = False,
) -> None:
    """Continue a succeeded job from its last checkpoint, and save every new iterate as it comes.

    By default to the tolerance of its request. Nothing is computed twice. Ctrl-C cancels the job.
    """
    with report_errors():
        from cli.generate import run

        options = run.Options(output, detach, as_json, bool(draw))
        code = run.refine(server, key, options, job, context.obj)
    raise typer.Exit(code)
