"""The proxy for a server, by the environment variables that all programs read: ``HTTPS_PROXY``, ``NO_PROXY`` etc.

httpx reads them too, but fails for networks in ``NO_PROXY``, which curl, Go and requests understand, and for a SOCKS
proxy without another package. It also sends requests for this machine to the proxy.
"""

import os
from ipaddress import ip_address, ip_network
from urllib.request import getproxies

import httpx

from underpaint.errors import BadProxy


def proxy_for(url: httpx.URL) -> httpx.Proxy | None:
    """The proxy that requests to a server go through; None for none. This machine needs none.

    Raises:
        BadProxy: the environment names one that cannot be used.
    """
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or _is_here(url.host) or _is_excepted(url, proxies.get("no", os.environ.get("NO_PROXY", ""))):
        return None
    name = f"{url.scheme.upper()}_PROXY" if proxies.get(url.scheme) else "ALL_PROXY"
    if "://" not in address:
        address = f"http://{address}"
    if address.startswith("socks://"):
        address = f"socks5{address.removeprefix('socks')}"
    try:
        return httpx.Proxy(address)
    except (ValueError, httpx.InvalidURL) as error:
        raise BadProxy(
            f"The environment variable {name} names a proxy that cannot be used ({error}). Change it, or name "
            f"{url.host} in NO_PROXY."
        ) from error


def _is_here(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost")


def _is_excepted(url: httpx.URL, exceptions: str) -> bool:
    """Whether ``NO_PROXY`` names the server: as ``*``, an address, a network, a name, or the end of one, with or
    without a port."""
    host = url.host.lower().strip("[]").rstrip(".")
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    for entry in exceptions.lower().replace(" ", ",").split(","):
        if not entry:
            continue
        if entry == "*" or _is_in(host, entry):
            return True
        name, colon, number = entry.rpartition(":")
        if colon and number.isdecimal():
            if number.lstrip("0") != str(port):
                continue
            entry = name
        name = entry.removeprefix("*").strip("[]").strip(".")
        if name and (host == name or host.endswith(f".{name}") or _is_in(host, name)):
            return True
    return False


def _is_in(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
