"""The output of the commands about jobs: the JSON of the API for programs, tables for people."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from cli.terminal import Drawing, can_draw, clean, console, percent, show, side_by_side
from underpaint import Iterate, Job, JobPage, Model, Warning

STYLES = {"queued": "yellow", "running": "cyan", "succeeded": "green", "failed": "red", "canceled": "dim"}


def plain(sent: BaseModel) -> dict[str, Any]:
    """A document as the server sent it."""
    return sent.model_dump(mode="json", exclude_unset=True)


def document(content: Mapping[str, Any]) -> None:
    """Prints JSON."""
    typer.echo(json.dumps(content, indent=2))


def line(text: str) -> None:
    """Prints a line."""
    typer.echo(text)


def made(parameters: str, document: Mapping[str, Any] | None, source: str | None) -> None:
    """What a picture says about how it was made."""
    if document:
        line(f"Made by {clean(str(document['software']))}: image {document['image']} of job {document['job']}")
    if source:
        line(f"Digital source type: {clean(source.rpartition('/')[2])}")
    for each in parameters.splitlines():
        line(clean(each))


def outcome(job: Job, pending: str) -> None:
    """The effect of a request to end a job; ``pending`` is for one that still runs."""
    line(f"Job {job.id} {f'has ended: {_state(job)}' if job.ended else pending}.")


def jobs(page: JobPage) -> None:
    """A list of jobs."""
    out = console()
    if not page.jobs:
        line("There are no such jobs.")
        return
    table = _table("<ID", "<STATE", ">AGE", ">IMAGES", ">ITERATE", ">RESIDUAL", ">ERROR", "<PROMPT")
    for job in page.jobs:
        newest = [image.iterate for image in job.images if image.iterate is not None]
        residuals = [image.residual for image in job.images if image.residual is not None]
        errors = [image.error_estimate for image in job.images if image.error_estimate is not None]
        table.add_row(
            str(job.id)[:8],
            Text(job.state, STYLES.get(job.state, "")),
            _age(job.created_at),
            str(len(job.images)),
            str(max(newest)) if newest else "-",
            f"{max(residuals):.2g}" if residuals else "-",
            percent(max(errors)) if errors else "-",
            Text(clean(job.request.prompt), no_wrap=True, overflow="ellipsis"),
        )
    show(out, table)
    if page.next_cursor:
        typer.echo(f"There are more: --limit N lists more, --cursor {page.next_cursor} those after these.", err=True)


def job(job: Job, iterates: Sequence[Iterate], fetch: Callable[[int], bytes]) -> None:
    """A job and its iterates, below the newest picture of each image if the terminal can show it."""
    out = console()
    images = sorted({each.image for each in iterates if each.picture})
    if images and can_draw(out):
        show(out, side_by_side([Drawing(fetch(image)) for image in images], out.width))
        out.print()
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(job):
        facts.add_row(name, Text(clean(value)))
    show(out, facts)
    if iterates:
        out.print()
        table = _table(">IMAGE", ">ITERATE", ">RESIDUAL", ">ERROR", ">ROUNDS", ">EVALUATIONS", ">SECONDS", "<PICTURE")
        for each in iterates:
            kept = "final" if each.final else "preview"
            table.add_row(
                str(each.image),
                str(each.iterate),
                "-" if each.residual is None else f"{each.residual:.2g}",
                "-" if each.error_estimate is None else percent(each.error_estimate),
                str(each.rounds),
                str(each.evaluations),
                f"{each.elapsed:.1f}",
                kept if each.picture else "-",
            )
        show(out, table)


def models(available: Sequence[Model]) -> None:
    """The available models."""
    out = console()
    table = _table("<ID", "<TITLE", "<STEPS", "<SIZE", "<IMAGES", "<GUIDANCE", "<METHOD")
    for model in available:
        defaults, limits = model.defaults, model.limits
        sizes = sorted({limits["min_size"], limits["max_size"]})
        table.add_row(
            model.id,
            Text(model.title),
            f"{defaults['steps']} (to {limits['max_steps']})",
            f"{defaults['width']}×{defaults['height']} ({' to '.join(map(str, sizes))})",
            f"to {limits['max_images']}",
            f"{defaults['guidance_scale']:g} (to {limits['max_guidance_scale']:g})",
            defaults["method"],
        )
    show(out, table)
    for model in available:
        if model.description:
            show(out, Text(f"\n{model.id}: {model.description}"))
        if model.example_prompts:
            show(out, Text(f"Try: {', '.join(model.example_prompts)}"))


def _table(*columns: str) -> Table:
    """A table without lines, which scripts can split into columns. ``<`` and ``>`` give the alignment of a column. If
    there is no room for all columns, the last one is shortened."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="", pad_edge=False)
    for name in columns:
        justify = "left" if name[0] == "<" else "right"
        table.add_column(name[1:], justify=justify, no_wrap=name != columns[-1])
    return table


def _facts(job: Job) -> list[tuple[str, str]]:
    request = job.request
    seeds = [str(image.seed) for image in job.images]
    facts = [
        ("Job", str(job.id)),
        ("State", _state(job)),
        ("Prompt", request.prompt),
        ("Not", request.negative_prompt),
        ("Model", f"{request.model}, {request.width}×{request.height} pixels"),
        (
            "Sampler",
            f"{request.method}, {request.steps} steps, guidance {request.guidance_scale:g}, "
            f"tolerance {request.tolerance:g}"
            + (f", {request.blocks} blocks" if request.blocks else "")
            + (f", at most {request.max_iterations} iterations" if request.max_iterations is not None else ""),
        ),
        ("Seed" if len(seeds) == 1 else "Seeds", ", ".join(seeds)),
        ("Error", job.error or ""),
        *(("Note", warning(each)) for each in job.warnings),
    ]
    return [(name, value) for name, value in facts if value]


def warning(of: Warning) -> str:
    """What of a request does nothing, or less than it says."""
    return f"{of.field} {of.message}"


def _state(job: Job) -> str:
    state = f"{job.state} ({job.stopped})" if job.stopped else job.state
    if job.queue_position:
        wait = job.estimated_wait_seconds
        state += f", number {job.queue_position}" + ("" if wait is None else f", about {_duration(wait)} to wait")
    if job.preparing is not None:
        state += f", loading the model: {job.preparing:.0%}"
    if job.finished_at:
        state += f" {_age(job.finished_at)} ago"
    return state


def _age(then: datetime) -> str:
    return _duration((datetime.now(UTC) - then).total_seconds())


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
