"""TLS in this process, with a certificate that is replaced without a restart.

`Reread` looks at both files at each handshake (two `stat`s); a new pair counts from the next one
on, and while a pair does not fit together the one before stands. OpenSSL loads certificates from
files only, so a pair that was read goes through one of our own, and is known to be whole: nobody
can replace the key between the two.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

from otaflux.secret import Current, Reread


class Certificate:
    """A certificate with its chain, and its key; raises `Undecided` where it cannot be read."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._newest: Current[ssl.SSLContext] = Reread("TLS_CERT_PATH", [chain, key], _context)

    def context(self) -> ssl.SSLContext:
        """A context for a server, each of whose handshakes uses the newest pair."""
        context = _bare_context()
        context.sni_callback = self._choose
        self._newest.current()
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called by OpenSSL at each handshake, also for clients that name no server."""
        connection.context = self._newest.current()


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _context(contents: Sequence[bytes]) -> ssl.SSLContext:
    """A context with a pair; raises `OSError` (`ssl.SSLError`) where it is none."""
    context = _bare_context()
    with tempfile.TemporaryDirectory(prefix="otaflux-") as folder:  # which nobody else may enter
        paths = [Path(folder, name) for name in ("chain", "key")]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        context.load_cert_chain(paths[0], paths[1], password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    """Instead of a question on the terminal."""
    raise ValueError("its key asks for a passphrase")
