"""Where webhooks may go: which URLs are accepted, and which addresses may be connected to.

A URL is checked when a job is submitted, and at every attempt again, when its name is resolved. A name may resolve to
another address each time, so the address that is checked must be the one that is connected to.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import inet_aton
from typing import Self

import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The IANA special-purpose registries (RFC 6890 and its successors). Python's `is_global` depends on its version, and
# includes multicast.
SPECIAL4 = tuple(
    IPv4Network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
# Of IPv6 only what is handed out as global unicast is reached: neither NAT64 (64:ff9b::/96), IPv4-compatible, unique
# local, link-local nor multicast addresses lie in it. Excepted are Teredo and its like, documentation, and 6to4.
GLOBAL6 = IPv6Network("2000::/3")
SPECIAL6 = tuple(
    IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)

_NAME = re.compile(
    r"(?=.{1,253}\.?$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?"
)
_EXAMPLE = "https://example.org/hook"


@dataclass(frozen=True)
class Targets:
    """What a server's webhooks may reach. Without arguments: public addresses, over TLS."""

    http: bool = False
    """Whether plain http is allowed."""
    names: frozenset[str] = frozenset()
    """Names that may be reached whatever they resolve to, in lower case."""
    networks: tuple[Network, ...] = ()
    """Networks that may be reached although they are not public."""

    @classmethod
    def read(cls, allowed: str, http: bool) -> Self:
        """Parse a list of names, addresses and networks, separated by commas or spaces.

        Raises:
            ValueError: an entry is none of these; the message names it.
        """
        names: list[str] = []
        networks: list[Network] = []
        for each in allowed.replace(",", " ").split():
            try:
                networks.append(ip_network(each))
            except ValueError as error:
                if not _is_name(each.lower()) or literal(each.lower()):
                    raise ValueError(
                        f"{each} is neither a name, nor an address, nor a network such as 192.168.0.0/16"
                    ) from error
                names.append(each.lower().rstrip("."))
        return cls(http, frozenset(names), tuple(networks))

    def fault(self, url: str) -> str | None:
        """What is wrong with a URL before its name is resolved, worded to follow the field's name; or None."""
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            return f"must be a URL, such as {_EXAMPLE}"
        host = parsed.raw_host.decode().lower()
        if parsed.scheme not in ("http", "https"):
            return f"must be a URL that begins with https://, such as {_EXAMPLE}"
        if parsed.scheme == "http" and not self.http:
            return "must begin with https://: this server allows no plain http (UNDERPAINT_WEBHOOK_HTTP)"
        if parsed.userinfo:
            return "must hold no credentials: the signature tells who has sent a webhook"
        if "#" in url:
            return "must have no fragment: leave out what begins with #"
        found = literal(host)
        if (not found and not _is_name(host)) or (parsed.port is not None and not 0 < parsed.port < 65536):
            return f"must name a host and, if any, a port from 1 to 65535, such as {_EXAMPLE}"
        if found and not self.allow(host, [found]):
            return f"must lead to a public address: {host} is private or special, and this server does not allow it"
        return None

    def allow(self, host: str, addresses: Iterable[Address]) -> bool:
        """Whether a host with these addresses may be connected to at any of them."""
        return host.lower().rstrip(".") in self.names or all(map(self._reachable, addresses))

    def _reachable(self, address: Address) -> bool:
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped  # the system connects to that
        return any(address in network for network in self.networks) or is_public(address)


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL4)
    return address in GLOBAL6 and not any(address in network for network in SPECIAL6)


def _is_name(host: str) -> bool:
    """Whether it is a DNS name. A host that ends in a number is meant as an address, if an invalid one."""
    last = host.rstrip(".").rpartition(".")[2]
    return bool(_NAME.fullmatch(host)) and not last.isdecimal()


def literal(host: str) -> Address | None:
    """The address that a host denotes without resolution, in any form that the system accepts (``127.1``,
    ``0x7f000001``, ``0177.0.0.1``, ``2130706433``); loopback for ``localhost``; None for other names."""
    plain = host.rstrip(".")
    if plain == "localhost" or plain.endswith(".localhost"):  # RFC 6761, section 6.3
        return IPv4Address("127.0.0.1")
    try:
        return ip_address(plain)
    except ValueError:
        pass
    try:
        return IPv4Address(inet_aton(plain))
    except (OSError, ValueError):
        return None
