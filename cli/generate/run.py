"""`underpaint generate` and `refine`, from start to end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from cli.errors import CANCELED, FAILED, INTERRUPTED, Explained
from cli.files import Files
from cli.generate.progress import Display
from cli.jobs.ids import found
from cli.jobs.show import document, line, plain
from cli.server import asking
from cli.terminal import clean
from underpaint import IterateEvent, Job, Underpaint, Unreachable

PATIENCE = 30  # seconds that the server may be away while the job runs; it may be restarting
LOOK_EVERY = 2  # seconds, while the job is queued: its place changes without an event


@dataclass(frozen=True)
class Way:
    """How a job is followed.

    Attributes:
        folder: where its pictures are saved.
        detach: it is not.
        as_json: whether the job is printed in the end, and not the paths of its pictures.
        draw: whether its pictures are drawn in the terminal, if that can be.
    """

    folder: Path
    detach: bool
    as_json: bool
    draw: bool


def generate(server: str | None, key: str | None, way: Way, prompt: str, request: Mapping[str, Any]) -> int:
    """Submits a job and follows it. Returns the exit code.

    Raises:
        Explained: the request was refused, or the server or the folder cannot be used.
    """
    files = None if way.detach else Files(way.folder, prompt)
    with asking(server, key) as client:
        return _go(client, client.submit(prompt, **request), 0, files, way)


def refine(
    server: str | None, key: str | None, way: Way, name: str, tolerance: float | None, max_iterations: int | None
) -> int:
    """Refines a job and follows it, as ``generate`` does."""
    with asking(server, key) as client:
        job = client.job(found(client, name))
        files = None if way.detach else Files(way.folder, job.request.prompt)
        # What it has been through before is no news.
        after = max((event.id for event in client.events(job)), default=0) if job.ended else 0
        job = client.refine(job, tolerance=tolerance, max_iterations=max_iterations)
        return _go(client, job, after, files, way)


def _go(client: Underpaint, job: Job, after: int, files: Files | None, way: Way) -> int:
    if files is None:
        document(plain(job)) if way.as_json else line(str(job.id))
        return 0
    client.patience = PATIENCE
    say: Callable[[str], None] = (lambda _: None) if way.as_json else _print
    try:
        with Display(way.draw) as display:
            job = _follow(client, job, after, files, display, say)
    except KeyboardInterrupt:
        client.cancel(job)
        _tell(f"Canceled job {job.id}")
        return INTERRUPTED
    except Unreachable as error:
        raise Explained(f"{error}\nThe job goes on by itself if it can: its id is {job.id}.") from error
    if way.as_json:
        document(plain(job))
    if job.state == "failed":
        _tell(f"Job {job.id} failed: {clean(job.error or '')}")
        return FAILED
    if job.state == "canceled":
        _tell(f"Job {job.id} was canceled by somebody else")
        return CANCELED
    return 0


def _follow(
    client: Underpaint, job: Job, after: int, files: Files, display: Display, say: Callable[[str], None]
) -> Job:
    """Saves what is new until the job has ended, and returns the job as it is then."""
    while job.state == "queued":
        display.job(job)
        job = client.job(job, wait=LOOK_EVERY)
    display.job(job)
    seeds = {image.number: image.seed for image in job.images}
    for event in client.events(job, after=after):
        if not isinstance(event, IterateEvent):
            job = client.job(job.id)
            display.job(job)
            continue
        display.iterate(event)
        if event.picture:
            content = client.picture(job, event.image, event.iterate).content
            display.picture(event.image, content)
            say(str(files.save(seeds[event.image], None if event.final else event.iterate, content)))
    return client.job(job.id)


def _print(path: str) -> None:
    # Click's echo would write into the display, which puts what is printed above itself.
    print(path, flush=True)  # noqa: T201


def _tell(text: str) -> None:
    typer.echo(text, err=True)
