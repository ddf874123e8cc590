"""Connections as they arrive, without TLS: accepted, and looked at once, before asyncio.

A board that connects anew for each poll is asyncio's dearest guest: a task, a future, a transport
and a protocol, all for one read and one write. So a first read that is a whole poll, after which
the connection closes, is answered on the bare socket. Every other connection becomes a transport,
with what was read and found so far. On the event loop; nothing here is parsed either, see
`requestcache.py`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from otaflux.log import Event, log
from otaflux.web.port.connection import NOTHING, Begun, Connection
from otaflux.web.port.handler import KEEPALIVE
from otaflux.web.port.requestcache import CachedAnswer, RequestCache

ACCEPT = 128  # connections accepted in one go; a herd must not hold up those that are there
RETRY = 1.0  # seconds until accepting is tried again where there were no files or memory left
READ = 64 << 10  # bytes of a first read


class Taker(Protocol):
    """Makes the protocol of a connection from what is known of it."""

    def __call__(self, begun: Begun) -> asyncio.Protocol:
        """The protocol; what was read is still to be answered."""
        ...


class Acceptor:
    """Accepts on listening sockets. `crowded` is asked for each connection; those are `take`n."""

    def __init__(
        self,
        cache: RequestCache,
        take: Taker,
        *,
        live: set[Connection],
        crowded: Callable[[], bool],
    ) -> None:
        self._cache = cache
        self._take = take
        self._live = live
        self._crowded = crowded
        self._listening: list[socket.socket] = []
        self._adopting: set[asyncio.Task[object]] = set()

    def listen(self, sock: socket.socket) -> None:
        """Accept what comes on `sock`, which is ours to close from now on."""
        self._listening.append(sock)
        asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    async def close(self) -> None:
        """Accept no more; who was accepted is in other hands then."""
        loop = asyncio.get_running_loop()
        for sock in self._listening:
            loop.remove_reader(sock)
            sock.close()
        self._listening.clear()
        await asyncio.gather(*self._adopting, return_exceptions=True)

    def adopt(self, sock: socket.socket, begun: Begun) -> None:
        """Make a connection a transport, whose protocol goes on from there."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(lambda: self._take(begun), sock))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPT):
            try:
                sock, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning(Event.CONNECTIONS_CROWDED, open=len(self._live), reason=str(error))
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                loop.call_later(RETRY, self._resume, listening)
                return
            sock.setblocking(False)  # noqa: FBT003 - the standard library takes it so
            if self._crowded():
                self.adopt(sock, NOTHING)
            elif self._cache.trusts(peer):
                self.adopt(sock, Begun(shared=True))
            else:
                arrival = _Arriving(sock, self, self._cache, self._live)
                arrival.read()

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)


class _Arriving:
    """A connection before its first bytes; in `live` while they are not there."""

    __slots__ = ("_arrivals", "_cache", "_live", "_since", "_sock")

    def __init__(
        self, sock: socket.socket, arrivals: Acceptor, cache: RequestCache, live: set[Connection]
    ) -> None:
        self._sock = sock
        self._arrivals = arrivals
        self._cache = cache
        self._live = live
        self._since = 0.0

    def read(self) -> None:
        """Answer what came, or pass it on; wait where nothing did."""
        try:
            data = self._sock.recv(READ)
        except (BlockingIOError, InterruptedError):
            if self not in self._live:
                self._since = self._cache.clock()
                self._live.add(self)
                asyncio.get_running_loop().add_reader(self._sock, self.read)
            return
        except OSError:
            data = b""
        self._leave()
        if not data:
            self._sock.close()
            return
        known = self._cache.lookup(data)
        if not isinstance(known, CachedAnswer) or not known.closes:
            self._arrivals.adopt(self._sock, Begun(data, known))
            return
        # Nothing is in the way of a connection's first bytes, unless its client is gone.
        with suppress(OSError):
            self._sock.send(self._cache.answer(known)[0])
        self._sock.close()

    def check_idle(self, now: float) -> None:
        """End it when nothing came for `KEEPALIVE` seconds."""
        if now - self._since >= KEEPALIVE:
            self.abort()

    def abort(self) -> None:
        """End it."""
        self._leave()
        self._sock.close()

    close_idle = abort

    def _leave(self) -> None:
        if self in self._live:
            self._live.discard(self)
            asyncio.get_running_loop().remove_reader(self._sock)
