"""The host names that a server without keys answers to, and the sites whose pages may use it.

The name of another site can be made to resolve to this machine (DNS rebinding). Its pages could then read this server,
since the browser takes the responses for the site's own. Such requests carry that name in ``Host``. IP addresses need
no check: they do not go through DNS.

A page of another site can also send requests here, without reading the responses: a browser sends them if they need no
header or body of a kind that it would ask for first. The browser says where the page comes from (Fetch Metadata, or
``Origin``).
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request

from api.problems import Forbidden, Misdirected
from store.settings import ApiSettings

# They begin or end another part of a URL (RFC 3986): `evil.example:80@127.0.0.1` has the host 127.0.0.1.
NOT_IN_A_HOST = frozenset("@/?#\\ ,")


def check_host(request: Request, settings: ApiSettings) -> None:
    """Check the host name of a request that needs no key.

    Raises:
        Misdirected: the server does not know the name.
    """
    if settings.allow_open:
        return  # a proxy in front of the server checks it
    host = request.headers.get("host", "")
    name = "" if set(host) & NOT_IN_A_HOST else _name(f"//{host}")
    known = {"localhost", settings.host.lower(), *(host.lower() for host in settings.hosts)}
    if settings.public_url:
        known.add(_name(settings.public_url))
    if _is_address(name) or name in known or "*" in known:
        return
    raise Misdirected(
        "This server has no keys, and answers to addresses and names that it knows only: add the name in the header "
        "Host to UNDERPAINT_HOSTS, or make a key with `underpaint keys create NAME`."
    )


def check_site(request: Request, settings: ApiSettings) -> None:
    """Check that a request that needs no key, and changes something, does not come from a page of another site.

    Raises:
        Forbidden: it does. The pages of ``cors_origins`` may do it.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site in {"same-origin", "none"} or (site is None and origin is None):
        return  # our page, the user, or no browser
    if origin is not None:
        ours = {request.headers.get("host", "").lower()}
        if settings.public_url:
            ours.add(urlsplit(settings.public_url).netloc.lower())
        allowed = settings.cors_origins
        if "*" in allowed or origin in allowed or (site is None and _netloc(origin) in ours):
            return
    raise Forbidden(
        "This comes from a page of another site. Name its origin in UNDERPAINT_CORS_ORIGINS, or make a key with "
        "`underpaint keys create NAME`."
    )


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


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
