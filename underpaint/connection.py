"""Where the server is, and how it is spoken to."""

import os
from importlib.metadata import version
from typing import Any

import httpx

from underpaint.errors import BadAddress, BadKey

SERVER = "http://127.0.0.1:8000"
PATIENCE = 30.0  # s

# Every answer begins within seconds but those that are held, and a stream says something every 15 s.
TIMEOUT = httpx.Timeout(30, connect=5)


def options(server: str | None, key: str | None) -> dict[str, Any]:
    """Arguments for an ``httpx.Client`` or ``AsyncClient``. What is None comes from ``UNDERPAINT_SERVER`` and
    ``UNDERPAINT_KEY``.

    Raises:
        BadAddress: ``server`` is not an address.
        BadKey: ``key`` is not what a header can hold.
    """
    address = server or os.environ.get("UNDERPAINT_SERVER") or SERVER
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise BadAddress(f"{address!r} is not the address of a server ({error}).") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise BadAddress(f"{address!r} is not the address of a server: it must be as http://HOST:PORT.")
    headers = {"User-Agent": f"underpaint-python/{version('underpaint')}"}
    if key := key or os.environ.get("UNDERPAINT_KEY"):
        if not (key.isascii() and key.isprintable()):
            raise BadKey("The API key has characters that no key has.")
        headers["Authorization"] = f"Bearer {key}"
    return {"base_url": url, "headers": headers, "timeout": TIMEOUT}
