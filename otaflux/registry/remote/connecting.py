"""A connection that failed or broke, in the reader's words: what happened, and what to do about it.

Pure. The sentences are ours: a library's own have class names and Python's tuples in them. A hint
is a sentence with a capital.
"""

from __future__ import annotations

import os
import ssl
from enum import Enum
from http import HTTPStatus

import aiohttp
import msgspec
from yarl import URL

from otaflux.openssl import word_of
from otaflux.registry.remote.proxies import Proxy
from otaflux.wording import plain

# Of OpenSSL, `X509_verify_cert` (x509_vfy.h); the `ssl` module has no names for them.
_NOT_YET_VALID = 9
_EXPIRED = 10
_OTHER_NAME = frozenset({62, 64})  # a host name, an address

# OpenSSL 3.2 and later say the last.
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
)


class Peer(Enum):
    """Who was connected to: the registry, its token server, or whoever it redirects to."""

    REGISTRY = "registry"
    TOKENS = "token server"
    STORAGE = "storage"


class Trouble(msgspec.Struct, frozen=True):
    """What happened, and what a person can do about it (may be empty)."""

    message: str
    hint: str = ""


def trouble(error: Exception, url: URL, proxy: Proxy | None, peer: Peer) -> Trouble:
    """What to say of a connection to `url`, through `proxy` where there is one."""
    where = plain(f"{url.host}:{url.port}")
    if proxy is not None:
        of_proxy = _of_proxy(error, where, url, proxy)
        if of_proxy is not None:
            return of_proxy
        where = f"{where} through the proxy {plain(f'{proxy.url.host}:{proxy.url.port}')}"
    match error:
        case aiohttp.ClientConnectorCertificateError():
            told = _certificate(error.certificate_error, where, peer)
        case aiohttp.ClientConnectorSSLError():
            told = _tls(error.os_error, where, peer)
        case aiohttp.ClientConnectorDNSError():
            told = Trouble(f"no address for {where}", _found(peer, "Does the name server know it?"))
        case TimeoutError():
            hint = "Is the proxy right, and does it let this address through?"
            slow = _found(peer, "Does something between here and there let nothing through?")
            told = Trouble(f"{where} does not answer in time", hint if proxy else slow)
        case aiohttp.ClientConnectorError():
            hint = _found(peer, "Is it running, and does a firewall let this machine through?")
            told = Trouble(f"cannot connect to {where}: {_reason(error.os_error)}", hint)
        case ValueError():
            told = Trouble(f"no request can be made to {where}: its address cannot be used")
        case _:
            told = Trouble(f"the connection to {where} broke: {_broken(error)}")
    return told


def _found(peer: Peer, what: str) -> str:
    """What to look at where somebody was not reached."""
    match peer:
        case Peer.REGISTRY:
            return f"{what} Is REGISTRY_URL right?"
        case Peer.TOKENS:
            return f"{what} It is where the registry sends clients for their tokens"
        case Peer.STORAGE:
            return (
                f"{what} The registry sends clients there for what it stores, so this machine"
                " has to reach it too (firewall, proxy, NO_PROXY)"
            )


def _of_proxy(error: Exception, where: str, url: URL, proxy: Proxy) -> Trouble | None:
    """What is the proxy's own fault; None where it is none."""
    name = proxy.name
    there = plain(f"{proxy.url.host}:{proxy.url.port}")
    around = f"or name {plain(url.host)} in NO_PROXY to go without it"
    match error:
        case aiohttp.ClientHttpProxyError() if (
            error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        ):
            hint = f"Write name and password into {name}: http://NAME:PASSWORD@{there}"
            return Trouble(f"the proxy {there} wants a log-in ({error.status})", hint)
        case aiohttp.ClientHttpProxyError():
            return Trouble(
                f"the proxy {there} refuses to connect to {where} ({error.status})",
                f"Let the proxy in {name} connect there, {around}",
            )
        case aiohttp.ClientConnectorDNSError() if error.host == proxy.url.host:
            return Trouble(f"no address for the proxy {there}", f"Look at {name}, {around}")
        case aiohttp.ClientProxyConnectionError():
            return Trouble(
                f"cannot connect to the proxy {there}: {_reason(error.os_error)}",
                f"Look at {name}: is the proxy running? Correct it, {around}",
            )
        case _:
            return None


def _certificate(error: Exception, where: str, peer: Peer) -> Trouble:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    whose = f"the {peer.value}'s"
    if code == _EXPIRED:
        return Trouble(
            f"the certificate of {where} has expired",
            f"Renew {whose} certificate; if it is newer than that, is this machine's clock right?",
        )
    if code == _NOT_YET_VALID:
        return Trouble(
            f"the certificate of {where} is not valid yet",
            f"Is this machine's clock right? Else {whose} certificate begins later",
        )
    if code in _OTHER_NAME:
        right = "in REGISTRY_URL" if peer is Peer.REGISTRY else "in the registry's configuration"
        return Trouble(
            f"the certificate of {where} is for another name",
            f"Write a name {right} that the certificate has, or give it a certificate of this name",
        )
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
    because = f": {plain(reason)}" if reason else ""
    return Trouble(
        f"the certificate of {where} is not trusted{because}",
        f"Set REGISTRY_CA_CERT_PATH to the root certificate that {whose} is signed by",
    )


def _tls(error: OSError, where: str, peer: Peer) -> Trouble:
    reason = word_of(error)
    if reason in _NO_TLS:
        plain_http = "Does it speak plain http? Then write http:// in REGISTRY_URL"
        hint = plain_http if peer is Peer.REGISTRY else ""
        return Trouble(f"no TLS with {where}: what answers there speaks another language", hint)
    said = plain(reason.replace("_", " ").lower()) if reason else _reason(error)
    return Trouble(f"no TLS with {where}: {said}", "Does it speak TLS 1.2 or newer?")


def _reason(error: OSError) -> str:
    """The system's own words for a number; asyncio puts Python's tuples into others."""
    for each in (error, *getattr(error, "exceptions", ())):
        if isinstance(each, OSError) and each.errno and each.errno > 0:
            return os.strerror(each.errno).lower()
    return "it failed"


def _broken(error: Exception) -> str:
    match error:
        case aiohttp.ServerDisconnectedError():
            return "the other side hung up"
        case aiohttp.ClientPayloadError():
            return "the answer ended before it was whole"
        case aiohttp.ClientResponseError():
            return "what answers there is no HTTP server"
        case OSError():
            return _reason(error)
        case _:
            return "it failed"
