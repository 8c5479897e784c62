"""The address of the server, and the options of the HTTP client."""

import os
from importlib.metadata import version
from typing import Any

import httpx

from underpaint.errors import BadAddress, BadKey
from underpaint.proxies import proxy_for

SERVER = "http://127.0.0.1:8000"
PATIENCE = 30.0  # s

# Responses begin within seconds, except held ones, which have a timeout of their own. A stream sends a keep-alive every
# 15 s.
TIMEOUT = httpx.Timeout(30, connect=5)


def options(server: str | None, key: str | None) -> dict[str, Any]:
    """The arguments of an ``httpx.Client`` or ``AsyncClient``. The environment variables ``UNDERPAINT_SERVER`` and
    ``UNDERPAINT_KEY`` are the defaults.

    Raises:
        BadAddress: ``server`` is not the URL of a server.
        BadKey: ``key`` has characters that a header cannot hold.
        BadProxy: the environment names a proxy that cannot be used.
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
    verify = httpx.create_ssl_context() if url.scheme == "https" else True
    proxy = proxy_for(url)
    # What httpx would read from the environment, `proxy_for` has read, or `create_ssl_context`.
    return {
        "base_url": url,
        "headers": headers,
        "timeout": TIMEOUT,
        "proxy": proxy,
        "verify": verify,
        "trust_env": False,
    }
