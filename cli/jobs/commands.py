"""What the commands about jobs do."""

from collections.abc import Sequence
from pathlib import Path

import typer

from cli.client import connect, find_job, summary
from cli.errors import CommandError
from cli.files import PictureFiles
from cli.jobs import show
from underpaint import Iterate, Job, JobPage, Underpaint

LARGEST_PAGE = 100


def listed(
    server: str | None, key: str | None, limit: int, cursor: str | None, states: Sequence[str], model: str | None
) -> JobPage:
    """Up to ``limit`` jobs, newest first, from as many pages as that takes."""
    with connect(server, key) as client:
        page = client.page(limit=min(limit, LARGEST_PAGE), cursor=cursor, state=states, model=model)
        while page.next_cursor and (left := limit - len(page.jobs)):
            more = client.page(limit=min(left, LARGEST_PAGE), cursor=page.next_cursor, state=states, model=model)
            page = more.model_copy(update={"jobs": page.jobs + more.jobs})
        return page


def shown(server: str | None, key: str | None, name: str, folder: Path | None, as_json: bool) -> None:
    """Prints a job with its iterates and pictures, and saves the pictures in ``folder``."""
    with connect(server, key) as client:
        job = client.job(find_job(client, name))
        iterates = client.iterates(job)
        if as_json:
            show.document({**show.plain(job), "iterates": [show.plain(each) for each in iterates]})
        else:
            show.job(job, iterates, lambda image: client.picture(job, image).content)
        if folder:
            _save(client, job, iterates, folder, quiet=as_json)


def told(file: Path, as_json: bool) -> None:
    """Prints what the picture in a file says about how it was made.

    Raises:
        CommandError: it is no picture, or says nothing.
    """
    from store.pictures import marks

    try:
        found = marks.read(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from None
    if as_json:
        show.document({"made": found.document, "parameters": found.text, "digital_source_type": found.source})
    elif found.text or found.document or found.source:
        show.made(found.text, found.document, found.source)
    else:
        raise CommandError(f"{file} does not say how it was made")


def canceled(server: str | None, key: str | None, names: Sequence[str]) -> None:
    """Cancels jobs."""
    with connect(server, key) as client:
        for each in [find_job(client, name) for name in names]:
            show.outcome(client.cancel(each), "is asked to stop: it does so within a round")


def accepted(server: str | None, key: str | None, name: str) -> None:
    """Ends a job with its newest iterates."""
    with connect(server, key) as client:
        show.outcome(client.accept(find_job(client, name)), "is asked to end with its newest iterates, within a round")


def deleted(server: str | None, key: str | None, names: Sequence[str], confirmed: bool) -> None:
    """Deletes jobs, after a question unless ``confirmed``."""
    with connect(server, key) as client:
        jobs = [client.job(find_job(client, name)) for name in names]
        if not confirmed:
            typer.confirm("\n".join([*map(summary, jobs), "Delete this, with all pictures?"]), abort=True)
        for each in jobs:
            client.delete(each)
            show.line(f"Job {each.id} is deleted.")


def models(server: str | None, key: str | None, as_json: bool) -> None:
    """Prints the available models."""
    with connect(server, key) as client:
        available = client.models()
    if as_json:
        show.document({"models": [show.plain(model) for model in available]})
    else:
        show.models(available)


def _save(client: Underpaint, job: Job, iterates: Sequence[Iterate], folder: Path, quiet: bool) -> None:
    files = PictureFiles(folder, job.request.prompt)
    seeds = {image.number: image.seed for image in job.images}
    for each in iterates:
        if each.picture:
            content = client.picture(job, each.image, each.iterate).content
            path = files.save(seeds[each.image], None if each.final else each.iterate, content)
            if not quiet:
                show.line(str(path))
