"""TLS on sockets that were accepted: the handshake, and what went wrong with it.

asyncio's own layer of TLS keeps a buffer of 256 KiB for each connection, also for a silent one. A
record of TLS is at most 16 KiB, so ours keeps no more. A client that ends its side of TLS in the
packet of its request gets its answer first. That asyncio's layer can be told so is not documented,
and tests pin it. On the event loop.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.sslproto import SSLAgainErrors, SSLProtocol
from collections.abc import Callable

from otaflux.folded import Folded
from otaflux.log import Event
from otaflux.openssl import word_of
from otaflux.web.port.tls import Certificate

HANDSHAKE = 30  # seconds; boards take several for the arithmetic
GOODBYE = 5.0  # seconds for the other side to end TLS as it should; few boards do
RECORD = 16 << 10  # bytes; RFC 8446 section 5.1

# What OpenSSL calls it, how we say it, and what helps; the first that is part of its word.
_WORDS = (
    ("HTTP_REQUEST", "plain HTTP was sent to the TLS port", "Use https:// there"),
    ("HTTPS_PROXY_REQUEST", "the TLS port was asked as a proxy", "Use https:// there"),
    (
        "CERTIFICATE_EXPIRED",
        "the client says that the certificate has expired",
        "Renew the files of TLS_CERT_PATH and TLS_KEY_PATH, or set the client's clock",
    ),
    (
        "ALERT_UNKNOWN_CA",
        "the client does not trust the certificate",
        "Give clients its root, and TLS_CERT_PATH the whole chain",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the client's certificate does not count here",
        "Give the client one of the roots in TLS_CLIENT_CA_PATH that has not ended, or none",
    ),
    (
        "CERTIFICATE",
        "the client refuses the certificate",
        "Compare its names, its dates and its root with what clients expect",
    ),
    ("UNSUPPORTED_PROTOCOL", "the client speaks no TLS 1.2 or newer", "Update the client"),
    ("PROTOCOL_VERSION", "the client speaks no TLS 1.2 or newer", "Update the client"),
    (
        "NO_SHARED_CIPHER",
        "client and certificate have no cipher in common",
        "Use the kind of key that the client knows: RSA or ECDSA",
    ),
    ("WRONG_VERSION_NUMBER", "what came is no TLS", "Use https:// there"),
    ("PACKET_LENGTH_TOO_LONG", "what came is no TLS", "Use https:// there"),
    ("RECORD_LAYER_FAILURE", "what came is no TLS", "Use https:// there"),  # OpenSSL from 3.2 on
)


class _Layer(SSLProtocol):
    max_size = RECORD

    def _set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        # What comes while the protocol above does not read is kept here.
        limit = RECORD if high is None else high
        super()._set_read_buffer_limits(limit, low)  # type: ignore[misc] # types leave it out

    def _do_read__copied(self) -> None:
        """As asyncio's, but for an end behind data of which the protocol above reads no more yet.

        It stays with OpenSSL, which says so again once the protocol reads on.
        """
        pieces, ended = [], False
        try:
            while piece := self._sslobj.read(self.max_size):  # type: ignore[attr-defined] # as above
                pieces.append(piece)
            ended = True
        except SSLAgainErrors:
            pass
        if pieces:
            self._app_protocol.data_received(b"".join(pieces))  # type: ignore[attr-defined]
        if ended and not self._app_reading_paused:  # type: ignore[attr-defined]
            self._call_eof_received()  # type: ignore[attr-defined]
            self._start_shutdown()


class Secure:
    """Makes TLS of accepted sockets, with the newest certificate; `clock` folds the log."""

    def __init__(self, certificate: Certificate, clock: Callable[[], float]) -> None:
        self._context = certificate.context()
        self._failures = Folded(Event.TLS_FAILED, clock)

    async def handshake(
        self,
        sock: socket.socket,
        client: str,
        protocol: Callable[[], asyncio.BaseProtocol],
        *,
        begun: Callable[[asyncio.BaseTransport], object] = lambda _: None,
        patience: int = HANDSHAKE,
    ) -> None:
        """Have `protocol` speak over TLS; returns once it does, or the connection has ended.

        `begun` gets the transport below, which ends the connection until then. A handshake that
        fails is logged, as one of the `client`'s address.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def layer() -> SSLProtocol:
            return _Layer(
                loop,
                protocol(),
                self._context,
                done,
                server_side=True,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=GOODBYE,
            )

        below, _ = await loop.connect_accepted_socket(layer, sock)
        begun(below)
        try:
            await done
        except OSError as error:
            below.abort()
            reason, hint = _words(error)
            self._failures.note((client, reason), client=client, reason=reason, hint=hint)


def _words(error: OSError) -> tuple[str, str]:
    """What went wrong with a handshake, and what helps."""
    if isinstance(error, ssl.SSLError):
        word = word_of(error)
        for part, reason, hint in _WORDS:
            if part in word:
                return reason, hint
        return word.lower().replace("_", " ") or "no TLS could be agreed on", "See docs/logs.md"
    if isinstance(error, ConnectionAbortedError):  # asyncio's, after `patience`
        return "the handshake took too long", "Look at the client, and at the way to it"
    return "the client hung up during the handshake", "Look at what the client says about it"
