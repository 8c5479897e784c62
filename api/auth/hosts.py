"""The host names that a server without keys answers to.

The name of another site can be made to resolve to this machine (DNS rebinding). Its pages could then read this server,
since the browser takes the responses for the site's own. Such requests carry that name in ``Host``. IP addresses need
no check: they do not go through DNS.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request

from api.problems import Misdirected
from store.settings import ApiSettings


def check_host(request: Request, settings: ApiSettings) -> None:
    """Check the host name of a request that needs no key.

    Raises:
        Misdirected: the server does not know the name.
    """
    if settings.allow_open:
        return  # a proxy in front of the server checks it
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
    except ValueError:  # such as "[::1"
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
