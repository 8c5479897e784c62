"""Conditional requests (RFC 9110, section 13)."""

import re

_TAG = re.compile(r'(?:W/)?("[^"]*")')


def unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has what ``etag`` names, by the weak comparison that If-None-Match asks for."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in _TAG.findall(if_none_match)
