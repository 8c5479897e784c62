"""Request headers that several surfaces read."""

from typing import Annotated

from fastapi import Header
from werkzeug.http import parse_etags

IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", description="The `ETag` of an earlier answer.")]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A name of your choice for this request, as a UUID: however often it comes with this name, it "
        "makes one job.",
    ),
]


def not_modified(if_none_match: str | None, etag: str) -> bool:
    """Whether the client already has what ``etag`` names, by the weak comparison of If-None-Match (RFC 9110, section
    13.1.2)."""
    return parse_etags(if_none_match).contains_weak(etag.removeprefix("W/").strip('"'))


def digits(header: str, most: int) -> int:
    """The number in a header, at most ``most``; 0 if it is none. However many digits a client sends, it is no error."""
    if not (header.isascii() and header.isdecimal()):
        return 0
    return most if len(header.lstrip("0")) > len(str(most)) else min(int(header.lstrip("0") or "0"), most)
