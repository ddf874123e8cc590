"""Whether what a registry names lies where it may: token realms and redirects, by their addresses.

Trust: a registry on the public internet must not make us ask, with or without credentials, what
only a private network or this machine has: its routers, its metadata services, its other servers.
So an address that is not public is followed only for a registry that has one itself; a link-local
one, where clouds keep their machines' own secrets, never. The registry's own host always may. Names
count as the addresses that they lead to, but where a proxy looks them up.

What was looked up is remembered for `REMEMBERED`, on one event loop. A name may lead elsewhere by
the time that it is connected to, so what `GuardedResolver` finds then is held to the same rule.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult
from yarl import URL

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Undecided
from otaflux.registry.remote.endpoint import Endpoint, IpAddress, literal
from otaflux.wording import plain

REMEMBERED = 60.0  # seconds
MAX_HOSTS = 256

Lookup = Callable[[str], Awaitable[tuple[str, ...]]]


async def look_up(host: str) -> tuple[str, ...]:
    """The addresses of a name by this machine's resolver; none where it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(str(address[4][0]).partition("%")[0] for address in found)


class Neighbourhood:
    """The registry's, as the rules above need it. `is_proxied` says whom a proxy is asked for."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        is_proxied: Callable[[URL], bool],
        lookup: Lookup = look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._is_proxied = is_proxied
        self._lookup = lookup
        self._clock = clock
        self._public: BoundedMap[str, None] = BoundedMap(MAX_HOSTS)
        self._known: BoundedMap[str, tuple[float, tuple[IpAddress, ...]]] = BoundedMap(MAX_HOSTS)

    async def check_realm(self, realm: URL) -> None:
        """Whether a token realm may be asked; raises `Undecided` where a registry made it up.

        A realm gets the registry's credentials, so for an https registry it is https besides.
        """
        base = self._endpoint.base
        if base.scheme == "https" and realm.scheme != "https":
            raise _realm(realm, "it is plain http, and the registry is https")
        wrong = await self._wrong_place(realm)
        if wrong:
            raise _realm(realm, wrong)

    async def check_redirect(self, origin: URL, target: URL, *, content_addressed: bool) -> None:
        """Whether a redirect may be followed; raises `Undecided` where not.

        Whoever asks leaves credentials away at another origin. Bytes that are checked against a
        digest may come over plain http, as from object storage in the same rack; a listing may not.
        """
        if origin.scheme == "https" and target.scheme != "https" and not content_addressed:
            raise Undecided(
                f"the registry redirects from https to {plain(target.origin())}, which is refused",
                hint="Let the registry's proxy name https addresses",
            )
        wrong = await self._wrong_place(target)
        if wrong:
            raise Undecided(
                f"the registry redirects to {plain(target.origin())}: refused, {wrong}",
                hint="Look at the address that the registry, or its storage, is set up with",
            )

    async def _wrong_place(self, url: URL) -> str:
        """Why an address may not be followed; empty where it may."""
        host = url.host or ""
        own = self._endpoint.base
        if host == own.host:
            return ""
        addresses = await self._addresses(host, url)
        if any(address.is_link_local for address in addresses):
            return "it is a link-local address"
        if any(not address.is_global for address in await self._addresses(own.host or "", own)):
            return ""
        self._public.put(_connected_to(url.raw_host or ""), None)
        if all(address.is_global for address in addresses):
            return ""
        return "it is an address of a private network, and the registry's is not"

    def check_connection(self, host: str, addresses: Sequence[str]) -> None:
        """Raise `OSError` where a name that had to be public leads elsewhere by now."""
        found = [literal(address.partition("%")[0]) for address in addresses]
        is_inside = any(each is None or not each.is_global for each in found)
        if is_inside and _connected_to(host) in self._public:
            raise OSError(errno.EACCES, "it leads into a private network by now")

    async def _addresses(self, host: str, url: URL) -> tuple[IpAddress, ...]:
        """What a host leads to, so far as that can be known here."""
        address = literal(host)
        if address is not None:
            return (address,)
        now = self._clock()
        known = self._known.get(host)
        if known is not None and now < known[0] + REMEMBERED:
            return known[1]
        if self._is_proxied(url):
            return ()
        found = [literal(text) for text in await self._lookup(host)]
        addresses = tuple(each for each in found if each is not None)
        self._known.put(host, (now, addresses))
        return addresses


class GuardedResolver(ThreadedResolver):
    """aiohttp's resolver, which gives no address that `Neighbourhood` forbids."""

    def __init__(self, check: Callable[[str, Sequence[str]], None]) -> None:
        super().__init__()
        self._check = check

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host; raises `OSError` for none, or such."""
        found = await super().resolve(host, port, family)
        self._check(host, [each["host"] for each in found])
        return found


def _connected_to(raw_host: str) -> str:
    """A host as it is on the wire, in one form: aiohttp takes all dots but one from its end."""
    return raw_host.rstrip(".").lower()


def _realm(realm: URL, reason: str) -> Undecided:
    return Undecided(
        f"the registry wants its credentials sent to {plain(realm.origin())}: refused, {reason}",
        hint="Look at REGISTRY_URL, and at the realm that the registry is set up with",
    )
