"""Which names a server without keys answers to.

A page of another site can have its own name lead to this machine (DNS rebinding): to the browser, what it then reads
from here is its own. Such requests carry that name in ``Host``. Addresses are no names, and cannot be led elsewhere.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request

from api.problems import Misdirected
from store.settings import ApiSettings


def check_host(request: Request, settings: ApiSettings) -> None:
    """For requests that need no key.

    Raises:
        Misdirected: the request is for a name that is not this server's.
    """
    if settings.allow_open:
        return  # whatever is in front of the server sees to it
    name = _name(f"//{request.headers.get('host', '')}")
    known = {"localhost", settings.host.lower(), *(host.lower() for host in settings.hosts)}
    if settings.public_url:
        known.add(_name(settings.public_url))
    if _is_address(name) or name in known or "*" in known:
        return
    raise Misdirected(
        "This server has no keys, and answers to addresses and names that it knows only: add the name in the header "
        "Host to UNDERPAINT_HOSTS, or make a key with `underpaint keys create NAME`."
    )


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # as of "[::1"
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
