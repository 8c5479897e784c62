"""What the commands about jobs ask the server."""

from collections.abc import Sequence
from pathlib import Path

import typer

from cli.files import Files
from cli.jobs import show
from cli.jobs.ids import found
from cli.server import asking
from underpaint import Iterate, Job, JobPage, Underpaint

LARGEST_PAGE = 100


def listed(
    server: str | None, key: str | None, limit: int, cursor: str | None, states: Sequence[str], model: str | None
) -> JobPage:
    """Up to ``limit`` jobs, newest first, however many pages that are."""
    with asking(server, key) as client:
        page = client.page(limit=min(limit, LARGEST_PAGE), cursor=cursor, state=states, model=model)
        while page.next_cursor and (left := limit - len(page.jobs)):
            more = client.page(limit=min(left, LARGEST_PAGE), cursor=page.next_cursor, state=states, model=model)
            page = more.model_copy(update={"jobs": page.jobs + more.jobs})
        return page


def shown(server: str | None, key: str | None, name: str, folder: Path | None, as_json: bool) -> None:
    """Prints a job with its iterates and pictures, and saves the pictures in ``folder``."""
    with asking(server, key) as client:
        job = client.job(found(client, name))
        iterates = client.iterates(job)
        if as_json:
            show.document({**show.plain(job), "iterates": [show.plain(each) for each in iterates]})
        else:
            show.job(job, iterates, lambda image: client.picture(job, image).content)
        if folder:
            _save(client, job, iterates, folder, quiet=as_json)


def canceled(server: str | None, key: str | None, names: Sequence[str]) -> None:
    """Cancels jobs."""
    with asking(server, key) as client:
        for each in [found(client, name) for name in names]:
            show.outcome(client.cancel(each), "is asked to stop: it does so within a round")


def accepted(server: str | None, key: str | None, name: str) -> None:
    """Ends a job with its newest iterates."""
    with asking(server, key) as client:
        show.outcome(client.accept(found(client, name)), "is asked to end with its newest iterates, within a round")


def deleted(server: str | None, key: str | None, names: Sequence[str], sure: bool) -> None:
    """Deletes jobs, and asks first unless ``sure``."""
    with asking(server, key) as client:
        jobs = [client.job(found(client, name)) for name in names]
        if not sure:
            typer.confirm("\n".join([*map(show.summary, jobs), "Delete this, with all pictures?"]), abort=True)
        for each in jobs:
            client.delete(each)
            show.line(f"Job {each.id} is deleted.")


def models(server: str | None, key: str | None, as_json: bool) -> None:
    """Prints the models on offer."""
    with asking(server, key) as client:
        offered = client.models()
    if as_json:
        show.document({"models": [show.plain(model) for model in offered]})
    else:
        show.models(offered)


def _save(client: Underpaint, job: Job, iterates: Sequence[Iterate], folder: Path, quiet: bool) -> None:
    files = Files(folder, job.request.prompt)
    seeds = {image.number: image.seed for image in job.images}
    for each in iterates:
        if each.picture:
            content = client.picture(job, each.image, each.iterate).content
            path = files.save(seeds[each.image], None if each.final else each.iterate, content)
            if not quiet:
                show.line(str(path))
