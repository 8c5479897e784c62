"""`underpaint generate`, from start to end."""

import sys
import time
from pathlib import Path
from typing import Any

from cli.errors import Explained
from cli.generate.client import Client, Unreachable
from cli.generate.files import Files
from cli.generate.progress import Bars

LOOK_EVERY = 0.25  # seconds
PATIENCE = 30  # seconds that the server may be away while the job runs; it may be restarting

FAILED = 3
CANCELED = 4
INTERRUPTED = 130  # as shells have it: 128 + SIGINT


def generate(server: str, key: str | None, folder: Path, request: dict[str, Any]) -> int:
    """Submits a job, saves its pictures as they come, and prints their paths.

    Args:
        server: the address of the API.
        key: an API key, where the server asks for one.
        folder: where to save; made if it is missing.
        request: the body of the submission.

    Returns:
        The exit code: 0 when the job succeeded, else one of those above.

    Raises:
        Explained: the request was refused, or the server or the folder cannot be used.
    """
    files = Files(folder, request["prompt"])
    with Client(server, key) as client:
        job = client.submit(request)
        try:
            with Bars() as bars:
                job = _follow(client, job, files, bars)
        except KeyboardInterrupt:
            client.cancel(job["id"])
            _tell(f"Canceled job {job['id']}")
            return INTERRUPTED
    if job["state"] == "failed":
        _tell(f"Job {job['id']} failed: {job['error']}")
        return FAILED
    if job["state"] == "canceled":
        _tell(f"Job {job['id']} was canceled by somebody else")
        return CANCELED
    return 0


def _follow(client: Client, job: dict[str, Any], files: Files, bars: Bars) -> dict[str, Any]:
    """Saves what is new until the job has ended, and returns the job as it is then."""
    saved: set[tuple[int, int]] = set()
    seen = None
    answered = time.monotonic()
    while True:
        try:
            job = client.job(job["id"])
            bars.show(job)
            if job["updated_at"] != seen:
                _save_new(client, job, files, saved)
                seen = job["updated_at"]
            answered = time.monotonic()
        except Unreachable as error:
            if time.monotonic() - answered > PATIENCE:
                raise Explained(f"{error}\nThe job goes on by itself if it can: its id is {job['id']}.") from error
        else:
            if job["finished_at"]:
                return job
        time.sleep(LOOK_EVERY)


def _save_new(client: Client, job: dict[str, Any], files: Files, saved: set[tuple[int, int]]) -> None:
    seeds = {image["number"]: image["seed"] for image in job["images"]}
    for each in client.iterates(job["id"]):
        key = (each["image"], each["iterate"])
        if key not in saved and each["picture"]:
            path = files.save(
                seeds[each["image"]], None if each["final"] else each["iterate"], client.picture(job["id"], *key)
            )
            print(path, flush=True)  # noqa: T201
        saved.add(key)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
