"""The commands `generate` and `refine`. Like those of `cli.main` they import what they need when they run."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import report_errors
from cli.options import PICTURES, Detach, JobId, Key, Output, Server

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


@app.command(epilog=CODES, rich_help_panel=PICTURES)
def generate(
    prompt: Annotated[str, typer.Argument(help="What the pictures show.")],
    output: Output = Path(),
    server: Server = None,
    key: Key = None,
    model: Annotated[str | None, typer.Option(help="One of those that `underpaint models` lists.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What they do not show.")] = None,
    method: Annotated[str | None, typer.Option(help="auto, srds, window or serial.")] = None,
    wish: Annotated[str | None, typer.Option(help="What method auto is to save: latency or cost.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the grid, N.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="How closely to follow the prompt.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first image; each further one has the next.")] = None,
    images: Annotated[int | None, typer.Option(help="How many.")] = None,
    blocks: Annotated[int | None, typer.Option(help="Blocks to cut the grid into.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Stop at an iterate whose residual is not above this.")
    ] = None,
    max_iterations: Annotated[
        int | None, typer.Option(help="Stop at this iterate at the latest; 0 makes a draft.")
    ] = None,
    previews: Annotated[bool | None, typer.Option(help="Save every iterate, or the finished picture only.")] = None,
    priority: Annotated[str | None, typer.Option(help="low, normal or high.")] = None,
    deadline_seconds: Annotated[
        float | None, typer.Option(help="A job that has not ended by then fails, and keeps its pictures.")
    ] = None,
    draw: Draw = True,
    detach: Detach = False,
    as_json: FinalJson = False,
) -> None:
    """Generate pictures of PROMPT on a running server, and save every iterate as it comes.

    An option that is not given has the default of the model. The paths of the pictures go to stdout. Ctrl-C cancels
    the job.
    """
    request = {
        "model": model,
        "negative_prompt": negative_prompt,
        "method": method,
        "wish": wish,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "width": width,
        "height": height,
        "seed": seed,
        "images": images,
        "blocks": blocks,
        "tolerance": tolerance,
        "max_iterations": max_iterations,
        "previews": previews,
        "priority": priority,
        "deadline_seconds": deadline_seconds,
    }
    with report_errors():
        from cli.generate import run

        code = run.generate(server, key, run.Options(output, detach, as_json, bool(draw)), prompt, request)
    raise typer.Exit(code)


@app.command(epilog=CODES, rich_help_panel=PICTURES)
def refine(
    job: JobId,
    output: Output = Path(),
    tolerance: Annotated[
        float | None, typer.Option(help="To this residual; 0: until it is exact. By default that of its request.")
    ] = None,
    max_iterations: Annotated[
        int | None, typer.Option(help="To this iterate at most. By default without limit.")
    ] = None,
    server: Server = None,
    key: Key = None,
    draw: Draw = True,
    detach: Detach = False,
    as_json: FinalJson = False,
) -> None:
    """Continue a succeeded job from its last checkpoint, and save every new iterate as it comes.

    For drafts, and for finer pictures: nothing is computed twice. Ctrl-C cancels the job.
    """
    with report_errors():
        from cli.generate import run

        options = run.Options(output, detach, as_json, bool(draw))
        code = run.refine(server, key, options, job, tolerance, max_iterations)
    raise typer.Exit(code)
