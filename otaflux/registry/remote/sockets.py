"""Sockets that hand over a little at a time, and more where somebody says so.

asyncio reads up to 256 KiB at once, and all of it is parsed before anything else runs. Of a body in
chunks of one byte that is a fifth of a second in which no device is answered, so a socket gives
`MODEST` bytes for each turn of the loop. A blob, which comes in large pieces and is not read but
passed on, would take twice the time that way: `wide` lets its connection have them whole.
"""

from __future__ import annotations

import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

MODEST = 8 * 1024  # bytes; a chunk of one byte takes six of them, and some 2 µs


class _Modest(socket.socket):
    """A socket that gives `most` bytes at once."""

    most = MODEST

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """The next bytes, no more than may come at once."""
        return super().recv(min(bufsize, self.most), flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """The same, for TLS."""
        most = min(nbytes or len(buffer), len(buffer), self.most)
        return super().recv_into(buffer, most, flags)


class Sockets:
    """The sockets of one session."""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[_Modest] = weakref.WeakSet()

    def make(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for an address as `getaddrinfo` has it; aiohttp's `socket_factory`."""
        family, kind, protocol, *_ = address
        made = _Modest(family=family, type=kind, proto=protocol)
        made.settimeout(0)
        self._made.add(made)
        return made

    @contextmanager
    def wide(self, response: aiohttp.ClientResponse) -> Iterator[None]:
        """Let the connection of a response give what comes, but where it comes in chunks."""
        made = None if "Transfer-Encoding" in response.headers else self._of(response)
        if made is None:
            yield
            return
        made.most = 1 << 30
        try:
            yield
        finally:
            made.most = MODEST

    def _of(self, response: aiohttp.ClientResponse) -> _Modest | None:
        connection = response.connection
        transport = connection.transport if connection is not None else None
        known = transport.get_extra_info("socket") if transport is not None else None
        if known is None:
            return None
        number = known.fileno()
        return next((made for made in self._made if made.fileno() == number >= 0), None)
