"""The server that a command talks to, by the Python client, and how users name the jobs on it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from uuid import UUID

from cli.errors import UNREACHABLE, CommandError
from cli.terminal import clean
from underpaint import (
    BadAddress,
    BadKey,
    BadProxy,
    Job,
    Problem,
    Unauthorized,
    Underpaint,
    UnexpectedAnswer,
    Unreachable,
)

ID_LENGTH = 36  # characters
SEARCHED = 1000  # newest jobs, among which the beginning of an id is looked up


@contextmanager
def connect(server: str | None, key: str | None) -> Iterator[Underpaint]:
    """A client without retries: the user sees at once that no server answers.

    Raises:
        CommandError: the server refuses a request, or does not answer.
    """
    try:
        with Underpaint(server, key, patience=0) as client:
            yield client
    except BadProxy as error:
        raise CommandError(str(error)) from error
    except BadAddress as error:
        raise CommandError(f"{error} Use --server http://HOST:PORT.") from error
    except Unreachable as error:
        raise CommandError(
            f"{error} Start one with `underpaint up`, or name another one with --server or UNDERPAINT_SERVER.",
            UNREACHABLE,
        ) from error
    except UnexpectedAnswer as error:
        raise CommandError(f"{error}. Name the server with --server or UNDERPAINT_SERVER.", UNREACHABLE) from error
    except (BadKey, Unauthorized) as error:
        raise CommandError(f"{error} Name one with --key or UNDERPAINT_KEY.") from error
    except Problem as error:
        # If there are errors of fields, the detail is all of them in one line.
        lines = [f"  {each.field} {each.message}" for each in error.errors]
        raise CommandError("\n".join([error.title, *lines]) if lines else error.detail) from error


def find_job(client: Underpaint, name: str) -> UUID:
    """The id of the job with this id, or whose id begins with it; ``last`` is the newest job.

    Raises:
        CommandError: there is no such job, or several.
    """
    if name == "last":
        for job in client.page(limit=1).jobs:
            return job.id
        raise CommandError('There are no jobs. `underpaint generate "red heart"` makes one.')
    if not re.fullmatch(rf"[0-9a-fA-F-]{{1,{ID_LENGTH}}}", name):
        raise CommandError(f"{name!r} is not the id of a job: `underpaint jobs` lists them.")
    if len(name) == ID_LENGTH and name.count("-") == 4:
        return UUID(name)
    matches = [job for job in islice(client.jobs(), SEARCHED) if str(job.id).startswith(name.lower())]
    if not matches:
        raise CommandError(
            f"None of the newest {SEARCHED} jobs has an id that begins with {name}: `underpaint jobs` lists them."
        )
    if len(matches) > 1:
        lines = [f"  {summary(job)}" for job in matches[:10]]
        raise CommandError("\n".join([f"{len(matches)} jobs have an id that begins with {name}:", *lines]))
    return matches[0].id


def summary(job: Job) -> str:
    """A job in one line."""
    return f"{job.id} {job.state}: {clean(job.request.prompt)}"
