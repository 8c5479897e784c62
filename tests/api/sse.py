"""Server-sent events as a client reads them (HTML standard, section 9.2)."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class ServerEvent(NamedTuple):
    """One event."""

    id: int
    kind: str
    data: dict[str, Any]


def parse(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """The events in the lines of a stream, without an incomplete one at the end."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line == "":
            if "data" in fields:
                yield ServerEvent(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
        elif name:
            assert name in ("id", "event", "data", "retry")
            assert name not in fields
            fields[name] = value.removeprefix(" ")
