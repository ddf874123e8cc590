"""Connections that get no place: whatever they ask, they may ask again soon.

The answer waits for the question, for a client that reads only then would miss it; but not for
long, and only so many wait, since each of them is an open file too. On the event loop.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import cast

from otaflux.web import answers
from otaflux.web.answers import http_date
from otaflux.web.port.connection import send_away
from otaflux.web.port.reading import READ

QUESTION = 0.5  # seconds for the question to come
WAITING = 64  # that wait for it at once, of the files that are kept for other things


def busy_answer() -> bytes:
    """503, and the connection closes."""
    return answers.busy().render(http_date(int(time.time())), keep_alive=False)


class TurnedAway:
    """Sockets without TLS that are answered 503 and closed."""

    def __init__(self, most: int = WAITING) -> None:
        self.most = most
        self._waiting: dict[socket.socket, asyncio.TimerHandle] = {}

    def take(self, sock: socket.socket) -> None:
        """Answer once something is asked, and close; the socket is ours to close from now on."""
        if len(self._waiting) >= self.most:
            say_and_close(sock)
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(sock, self._end, sock)
        self._waiting[sock] = loop.call_later(QUESTION, self._end, sock)

    def close(self) -> None:
        """End all at once."""
        for sock in list(self._waiting):
            self._end(sock)

    def _end(self, sock: socket.socket) -> None:
        self._waiting.pop(sock).cancel()
        asyncio.get_running_loop().remove_reader(sock)
        say_and_close(sock)


def say_and_close(sock: socket.socket) -> None:
    """Answer 503 and close; what came is read first, or the kernel would send a reset instead."""
    with suppress(OSError):
        sock.recv(READ)
    with suppress(OSError):
        sock.send(busy_answer())
    sock.close()


class SecureTurnedAway(asyncio.Protocol):
    """The same over TLS, once its handshake is over."""

    _transport: asyncio.Transport
    _end: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the question."""
        self._transport = cast("asyncio.Transport", transport)
        self._end = asyncio.get_running_loop().call_later(QUESTION, self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._end.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer, and close."""
        self._end.cancel()
        self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            send_away(self._transport, busy_answer())
