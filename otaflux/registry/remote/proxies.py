"""Which proxy an address is asked through, by the environment: pure.

Read here, so that aiohttp's `trust_env` stays off, which would also send ~/.netrc to whoever is
redirected to. As Go's clients have it, so that it is as for the registry's other users; `ALL_PROXY`
counts besides, as curl has it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import msgspec
from yarl import URL

from otaflux.errors import Undecided
from otaflux.registry.remote.endpoint import NO_ADDRESS, IpAddress, literal


class Proxy(msgspec.Struct, frozen=True):
    """A proxy, and the name of what it is set with, such as `HTTPS_PROXY`."""

    url: URL
    name: str


def proxy_for(url: URL, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for an address; None for none.

    By `HTTPS_PROXY` or `HTTP_PROXY`, else `ALL_PROXY`, and `NO_PROXY`: lower-case names count
    first, loopback is never proxied. Raises `Undecided` for a proxy that cannot be one.
    """
    set_with = [f"{url.scheme}_proxy", f"{url.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    name = next((each for each in set_with if environ.get(each)), None)
    if name is None or _without_proxy(
        url, environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    ):
        return None
    text = environ[name]
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
        named = proxy.scheme in {"http", "https"} and proxy.host and proxy.port
    except NO_ADDRESS:
        proxy, named = URL(), None
    if not named:
        own = f"{url.scheme}_PROXY".upper()
        raise Undecided(
            f"{name.upper()} is no http or https proxy",
            hint=f"Set {own}=http://host:port, or name the registry in NO_PROXY",
        )
    return Proxy(proxy, name.upper())


def _without_proxy(url: URL, exceptions: str) -> bool:
    host = (url.host or "").rstrip(".")
    address = literal(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(
        _excepts(word, host, url.port, address) for word in exceptions.replace(",", " ").split()
    )


def _excepts(
    word: str,
    host: str,
    port: int | None,
    address: IpAddress | None,
) -> bool:
    """One word of `NO_PROXY`: `*`, a network, an address or a domain with or without a port."""
    if word == "*":
        return True
    if address is not None:
        try:
            return address in ipaddress.ip_network(word.strip("[]"), strict=False)
        except ValueError:
            pass
    named, colon, wanted = word.rpartition(":")
    if colon and wanted.isdigit():
        if int(wanted) != port:
            return False
        word = named
    bare = word.strip("[]").lstrip("*").lstrip(".").lower()
    return bool(bare) and (host == bare or host.endswith("." + bare))
