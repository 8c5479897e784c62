"""Jobs as people name them: by the beginning of an id, or as the last one."""

import re
from itertools import islice
from uuid import UUID

from cli.errors import Explained
from cli.jobs.show import summary
from underpaint import Underpaint

LONGEST = 36  # characters of an id
AMONG = 1000  # of the newest jobs


def found(client: Underpaint, name: str) -> UUID:
    """The id of the job that is meant.

    Raises:
        Explained: none is, or several are.
    """
    if name == "last":
        for job in client.page(limit=1).jobs:
            return job.id
        raise Explained('There are no jobs. `underpaint generate "red heart"` makes one.')
    if not re.fullmatch(rf"[0-9a-fA-F-]{{1,{LONGEST}}}", name):
        raise Explained(f"{name!r} is not the id of a job: `underpaint jobs` lists them.")
    if len(name) == LONGEST and name.count("-") == 4:
        return UUID(name)
    matches = [job for job in islice(client.jobs(), AMONG) if str(job.id).startswith(name.lower())]
    if not matches:
        raise Explained(
            f"None of the newest {AMONG} jobs has an id that begins with {name}: `underpaint jobs` lists them."
        )
    if len(matches) > 1:
        lines = [f"  {summary(job)}" for job in matches[:10]]
        raise Explained("\n".join([f"{len(matches)} jobs have an id that begins with {name}:", *lines]))
    return matches[0].id
