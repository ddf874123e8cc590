"""TLS in this process, with a certificate that is replaced without a restart.

`Reread` looks at both files at each handshake (two `stat`s); a new pair counts from the next one
on, and while a pair does not fit together the one before stands. OpenSSL loads certificates from
files only, so a pair that was read goes through files of our own in memory, and is known to be
whole: nobody can replace the key between the two.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

import msgspec

from otaflux.files.inmemory import path_to
from otaflux.secret import Current, Reread
from otaflux.web.port import validity
from otaflux.web.port.validity import Validity


class _Pair(msgspec.Struct, frozen=True):
    context: ssl.SSLContext
    validity: Validity | None


class Certificate:
    """A certificate with its chain, and its key; raises `Undecided` where it cannot be read.

    `client_ca` has roots whose certificates clients may show; those of others end the handshake.
    """

    def __init__(self, chain: Path, key: Path, client_ca: Path | None = None) -> None:
        files = [chain, key] if client_ca is None else [chain, key, client_ca]
        self._newest: Current[_Pair] = Reread("TLS_CERT_PATH", files, _pair)

    def context(self) -> ssl.SSLContext:
        """A context for a server, each of whose handshakes uses the newest pair."""
        context = _bare_context()
        context.sni_callback = self._choose
        # Whether clients are asked for theirs is taken from here, the roots from the newest.
        context.verify_mode = self._newest.current().context.verify_mode
        return context

    def validity(self) -> Validity | None:
        """When the newest pair counts, and for whom; None where that cannot be read."""
        return self._newest.current().validity

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called by OpenSSL at each handshake, also for clients that name no server."""
        connection.context = self._newest.current().context


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _pair(contents: Sequence[bytes]) -> _Pair:
    """What a pair's files make; raises `OSError` (`ssl.SSLError`) where they are none."""
    chain, key, *roots = contents
    context = _bare_context()
    with path_to(chain) as chain_path, path_to(key) as key_path:
        context.load_cert_chain(chain_path, key_path, password=_no_passphrase)
    for each in roots:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=each.decode("ascii", errors="ignore"))
    try:
        return _Pair(context, validity.of_chain(chain))
    except ValueError:  # OpenSSL takes it, and it judges
        return _Pair(context, None)


def _no_passphrase() -> str:
    """Instead of a question on the terminal."""
    raise ValueError("its key asks for a passphrase")
