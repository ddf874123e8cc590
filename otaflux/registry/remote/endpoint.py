"""Where the registry is, and whom else its credentials may be shown to: pure.

Trust: everything that a registry names, a token realm, a redirect, a next page, is untrusted text.
Credentials go to the registry's own origin (scheme, host and port) and, for a token, to a realm
that `Neighbourhood.check_realm` lets through.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from yarl import URL

from otaflux.errors import BadSetting, Undecided
from otaflux.model.names import Repository
from otaflux.wording import plain, quoted, quoted_address

MAX_URL = 16 * 1024  # characters; signed addresses are 2,000 to 4,000 long

_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
# What yarl raises for a text that is none; the second where brackets stand before a bare `@`.
NO_ADDRESS = (ValueError, IndexError)

_HUB = URL(
    "https://registry-1.docker.io"
)  # where Docker Hub's API is; docker.io is a name for people
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_ASCII = "".join(chr(code) for code in range(0x21, 0x7F))

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registry: `base` is what comes before `/v2/`, `name` what the catalog writes down."""

    base: URL
    name: str
    is_docker_hub: bool = False

    @classmethod
    def parse(cls, text: str, *, insecure: bool = False) -> Endpoint:
        """Read a `REGISTRY_URL`; `insecure` makes http of one without a scheme.

        Raises `BadSetting`, which never shows what might be a password.
        """
        written = text if "://" in text else f"{'http' if insecure else 'https'}://{text}"
        try:
            url = URL(written.rstrip("/"))
            host, port = url.host, url.port
        except NO_ADDRESS:
            raise _bad("an address that cannot be read") from None
        if url.raw_user is not None or url.raw_password is not None:
            raise _bad("an address with a user name; use REGISTRY_USERNAME and REGISTRY_PASSWORD")
        if url.scheme not in {"http", "https"} or not host or not port:
            raise _bad(quoted(text))
        if url.query_string or url.fragment:
            raise _bad("an address with '?' or '#'")
        base = url.with_path(url.path.removesuffix("/v2").rstrip("/"))
        if host in _HUB_HOSTS:
            return cls(_HUB, "https://docker.io", is_docker_hub=True)
        return cls(base, str(base).rstrip("/"))

    def api(self, path: str, query: Mapping[str, str] | None = None) -> URL:
        """An address under `/v2/`."""
        return self.beside(f"/v2/{path}", query)

    def beside(self, path: str, query: Mapping[str, str] | None = None) -> URL:
        """An address beside `/v2/`, such as Harbor's own API."""
        url = URL(f"{str(self.base).rstrip('/')}{path}", encoded=True)
        return url.with_query(dict(query)) if query else url

    def wire_name(self, repository: Repository) -> str:
        """The repository's name as the registry has it; Docker Hub's own images are in library/."""
        if self.is_docker_hub and "/" not in repository.name:
            return f"library/{repository}"
        return repository.name

    def path_hint(self) -> str:
        """What may be wrong with the path in `REGISTRY_URL`; empty where it has none."""
        path = self.base.path.strip("/")
        if not path:
            return ""
        return (
            f"REGISTRY_URL has the path /{plain(path)}: if that is how the repositories' names"
            f" begin, set REGISTRY_URL={plain(self.base.origin())} and"
            f" REPOSITORY_PREFIX={plain(path)}"
        )

    def owns(self, url: URL) -> bool:
        """Whether an address has the registry's own origin."""
        return same_origin(url, self.base)

    def page(self, current: URL, link: str) -> URL:
        """The next page that a registry names: its path and query, always at the registry.

        Registries behind a proxy name themselves as they see it, with another scheme or host, and
        without the path that the proxy puts in front. Raises `Undecided` where it is no address.
        """
        named = read_url(link, base=current)
        path = named.raw_path
        prefix = self.base.raw_path.rstrip("/")
        if prefix and not path.startswith(f"{prefix}/"):
            path = prefix + path
        return URL.build(
            scheme=self.base.scheme,
            authority=self.base.raw_authority,
            path=path,
            query_string=named.raw_query_string,
            encoded=True,
        )


def same_origin(one: URL, other: URL) -> bool:
    """Scheme, host and port agree; a default port may be written or not."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _bad(found: str) -> BadSetting:
    return BadSetting(
        f"REGISTRY_URL: found {found}, expected https://host[:port], or http://host[:port]"
    )


def read_url(text: str, *, base: URL) -> URL:
    """An absolute http(s) address from a header of a registry; raises `Undecided` for any other.

    One with a name or a password in it is none: those would go into `Authorization`.
    """
    url = _absolute(text, base)
    if url is None:
        what = "with a name or a password before its host" if "@" in text else "that is none"
        raise Undecided(f"the registry names an address {what}: {quoted_address(text)}")
    return url


def _absolute(text: str, base: URL) -> URL | None:
    text = text.strip(" ")
    if not text or len(text) > MAX_URL or _CONTROL.search(text):
        return None
    try:
        url = base.join(URL(_written_out(text), encoded=True))
        # Host and port are read only here: `xn--` is no name and 99999 no port.
        named = url.scheme in {"http", "https"} and url.host and url.port
    except NO_ADDRESS:
        return None
    return url if named and url.raw_user is None and url.raw_password is None else None


def _written_out(text: str) -> str:
    """An address with what is not ASCII, and spaces, in percent form, as browsers read it.

    Storages put names of files into `Location` as they are. Hosts are not written out: a host that
    is not ASCII is none.
    """
    return quote(text.encode(errors="surrogateescape"), safe=_ASCII)


def literal(host: str | None) -> IpAddress | None:
    """The IP address that a host is, in any of the forms that resolvers take; None for a name."""
    name = (host or "").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        address = ipaddress.ip_address((host or "").rstrip("."))
    except ValueError:
        pass
    else:
        mapped = getattr(address, "ipv4_mapped", None)
        return mapped or address
    try:  # 2130706433, 0x7f.1: inet_aton reads these, and so does getaddrinfo
        return ipaddress.ip_address(socket.inet_aton(host or ""))
    except (OSError, ValueError):
        return None
