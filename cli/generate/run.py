"""What `underpaint generate`, `edit` and `refine` do."""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from cli.client import connect, find_job
from cli.errors import CANCELED, FAILED, INTERRUPTED, USAGE, CommandError
from cli.files import PictureFiles
from cli.generate.progress import Display
from cli.jobs.show import document, line, plain, warning
from cli.terminal import clean
from underpaint import IterateEvent, Job, Underpaint, Unreachable

PATIENCE = 30  # s that the server may be away while the job runs; it may be restarting
SIGNALED = 128  # exit codes of programs that a signal ended are larger
POLL_INTERVAL = 2  # s, while the job is queued: its position in the queue changes without an event
ADDRESSES = ("data:", "http://", "https://", "/v1/jobs/")  # of pictures, as the API takes them


@dataclass(frozen=True)
class Options:
    """How a job is followed.

    Attributes:
        folder: where its pictures are saved.
        detach: whether it is not followed at all.
        as_json: whether the job is printed at its end, instead of the paths of its pictures.
        draw: whether its pictures are drawn in the terminal, if it has colours.
    """

    folder: Path
    detach: bool
    as_json: bool
    draw: bool


def prompts(words: Sequence[str], file: Path | None) -> list[str]:
    """The prompts of a command: its words are one, or else each line of a file that is not blank.

    Raises:
        CommandError: there is none, or both, or the file cannot be read.
    """
    if bool(words) == (file is not None):
        raise CommandError("Say what the pictures show, or name a file of prompts by --file.", USAGE)
    if file is None:
        return [" ".join(words)]
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    lines = [each.strip() for each in text.splitlines() if each.strip()]
    if not lines:
        raise CommandError(f"{file} has no prompts", USAGE)
    return lines


def generate(
    server: str | None, key: str | None, options: Options, prompts: Sequence[str], request: Mapping[str, Any]
) -> int:
    """Submits a job for each prompt and follows them in turn. Returns the exit code: that of the first that failed.

    Raises:
        CommandError: the server refused a request, or the server or the folder cannot be used.
    """
    if not options.detach:
        PictureFiles(options.folder, prompts[0])  # whether the folder can be used
    with connect(server, key) as client:
        # All are queued first, so that a worker that can run several at once does.
        made = _uploaded(client, request)
        jobs = [client.submit(prompt, **made) for prompt in prompts]
        codes: list[int] = []
        for number, (prompt, job) in enumerate(zip(prompts, jobs, strict=True), 1):
            files = None if options.detach else PictureFiles(options.folder, prompt)
            codes.append(_run(client, job, 0, files, options))
            if codes[-1] > SIGNALED:
                for rest in jobs[number:]:
                    client.cancel(rest)
                return codes[-1]
    return next(filter(None, codes), 0)


def _uploaded(client: Underpaint, request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the pictures as the server knows them.

    Raises:
        CommandError: a file cannot be read, or there is no such picture.
    """
    pictures = {name: request[name] for name in ("image", "mask") if request.get(name) is not None}
    made = {**request, **{name: _known(client, name, value) for name, value in pictures.items()}}
    if request.get("references"):
        made["references"] = [_known(client, "reference", each) for each in request["references"]]
    return made


def _known(client: Underpaint, name: str, value: str) -> str:
    """A picture as the server knows it: the id of an upload, the address of a picture, or the id of a job."""
    if value.startswith(ADDRESSES) or re.fullmatch("[0-9a-f]{64}", value):
        return value
    file = Path(value)
    if file.exists():
        try:
            return client.upload(file)
        except OSError as error:
            raise CommandError(f"The {name} {value} cannot be read: {error.strerror}.") from error
    if len(file.parts) > 1 or file.suffix:
        raise CommandError(f"There is no file {value} for the {name}.")
    return str(find_job(client, value))


def refine(server: str | None, key: str | None, options: Options, name: str, changes: Mapping[str, Any]) -> int:
    """Refines a job and follows it, as ``generate`` does."""
    with connect(server, key) as client:
        job = client.job(find_job(client, name))
        files = None if options.detach else PictureFiles(options.folder, job.request.prompt)
        # The events so far are skipped.
        after = max((event.id for event in client.events(job)), default=0) if job.ended else 0
        job = client.refine(job, **changes)
        return _run(client, job, after, files, options)


def _run(client: Underpaint, job: Job, after: int, files: PictureFiles | None, options: Options) -> int:
    if files is None:
        document(plain(job)) if options.as_json else line(str(job.id))
        return 0
    client.patience = PATIENCE
    told = job.warnings
    for each in told:
        _note(f"Note: {clean(warning(each))}")
    print_path: Callable[[str], None] = (lambda _: None) if options.as_json else _print_path
    try:
        with _interruptible(), Display(options.draw) as display:
            job = _follow(client, job, after, files, display, print_path)
    except KeyboardInterrupt as interrupt:
        client.cancel(job)
        _note(f"Canceled job {job.id}")
        return interrupt.code if isinstance(interrupt, _Signal) else INTERRUPTED
    except CommandError as error:
        goes_on = f"The job goes on: its id is {job.id}. `underpaint cancel {job.id}` ends it."
        raise CommandError(f"{error}\n{goes_on}", error.code) from error
    except Unreachable as error:
        raise CommandError(f"{error}\nThe job goes on by itself if it can: its id is {job.id}.") from error
    for each in job.warnings:
        if each not in told:
            _note(f"Note: {clean(warning(each))}")
    if options.as_json:
        document(plain(job))
    if job.state == "failed":
        _note(f"Job {job.id} failed: {clean(job.error or '')}")
        return FAILED
    if job.state == "canceled":
        _note(f"Job {job.id} was canceled by somebody else")
        return CANCELED
    return 0


def _follow(
    client: Underpaint, job: Job, after: int, files: PictureFiles, display: Display, print_path: Callable[[str], None]
) -> Job:
    """Saves the new pictures until the job has ended, and returns it."""
    while job.state == "queued":
        display.job(job)
        job = client.job(job, wait=POLL_INTERVAL)
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
            print_path(str(files.save(seeds[event.image], None if event.final else event.iterate, content)))
    return client.job(job.id)


class _Signal(KeyboardInterrupt):
    """Ended by a signal other than that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number  # as shells report it


@contextmanager
def _interruptible() -> Iterator[None]:
    """Treat the signals that end a program, as when its terminal is closed, as Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise _Signal(number)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_path(path: str) -> None:
    # Not click's echo, which would write into the display. The display prints above itself what print() writes.
    try:
        print(path, flush=True)  # noqa: T201
    except OSError as error:  # whoever read it has ended, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or else Python fails again when it ends
        raise CommandError(f"The paths of pictures cannot be written to stdout: {error.strerror}.") from error


def _note(text: str) -> None:
    typer.echo(text, err=True)
