"""Who a client is and under which address it reached us, with or without proxies in between.

Pure. `X-Forwarded-*` is believed from peers in the trusted networks alone: anybody can write it.
Hosts are checked before they go into a link, and so are addresses before they name anybody.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec
from multidict import MultiMapping

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

# A port may be empty (RFC 3986 section 3.2.3), and is left out then.
_HOST = re.compile(r"((?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?):?")
_BRACKETED = re.compile(r"\[([^\]]*)\](?::[0-9]+)?")


class Origins(msgspec.Struct, frozen=True):
    """`public_url` is what links carry, or None for what the client used."""

    public_url: str | None = None
    trusted: tuple[Network, ...] = ()

    def trusts(self, peer: str) -> bool:
        """Whether a peer is one of the trusted proxies."""
        if not self.trusted:
            return False
        address = _address(peer)
        return address is not None and any(address in network for network in self.trusted)

    def client(self, peer: str, headers: MultiMapping[str]) -> str:
        """The client's address: the peer's, or the nearest one that a trusted proxy vouches for."""
        if not self.trusts(peer):
            return peer
        hops = ",".join(headers.getall("X-Forwarded-For", [])).split(",")
        nearest = peer
        for hop in reversed(hops):
            address = _address(_without_port(hop.strip()))
            if address is None:
                break
            nearest = str(address)
            if not self.trusts(nearest):
                break
        return nearest

    def url_for(
        self, headers: MultiMapping[str], *, trusted: bool, secure: bool, local: str, host: str = ""
    ) -> str:
        """The scheme and host for links, without a slash at the end.

        `trusted` says that the peer is a trusted proxy, `secure` that the connection is TLS. `host`
        is that of the request's target, where it has one, and counts instead of the header `Host`;
        `local` is the address that the connection reached, for clients that send no usable one.
        """
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        scheme = "https" if secure else "http"
        hosts = [host or headers.get("Host", "")]
        if trusted:
            # The first value is what the client used; proxies behind append theirs.
            said = headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
            scheme = said if said in {"http", "https"} else scheme
            hosts.insert(0, headers.get("X-Forwarded-Host", "").split(",")[0].strip())
        usable = [found[1] for each in hosts if (found := _HOST.fullmatch(each)) is not None]
        return f"{scheme}://{usable[0] if usable else local}"


def reached(name: object) -> str:
    """The address that a connection reached, as links have it; `name` is the socket's.

    A server on [::] has ::ffff:a.b.c.d for a client that knows IPv4 alone.
    """
    host, port = name[:2] if isinstance(name, tuple) else ("localhost", 80)
    address = _address(str(host).partition("%")[0])
    shown = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else address or host
    return f"{shown}:{port}"


def _without_port(hop: str) -> str:
    """The address of a hop; some proxies write its port too, and brackets around IPv6."""
    hop = hop.strip('"')
    bracketed = _BRACKETED.fullmatch(hop)
    if bracketed is not None:
        return bracketed[1]
    address, colon, port = hop.partition(":")
    return address if colon and port.isascii() and port.isdecimal() else hop


def _address(text: str) -> _Ip | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A server on [::] sees IPv4 peers as ::ffff:a.b.c.d.
    return getattr(address, "ipv4_mapped", None) or address
