"""Connections as they arrive: accepted, counted, and looked at once, before asyncio.

A board that connects anew for each poll is asyncio's dearest guest: a task, a future, a transport
and a protocol, all for one read and one write. So a first read that is a whole poll, after which
the connection closes, is answered on the bare socket. Every other connection becomes a transport
once something came of it, with what was read and found so far; a silent one costs nothing but its
file. On the event loop; nothing here is parsed either, see `requestcache.py`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from otaflux.folded import Folded
from otaflux.log import Event
from otaflux.web.port.cachedanswer import CachedAnswer
from otaflux.web.port.connection import PROMPT, Begun, Connections
from otaflux.web.port.handler import KEEPALIVE
from otaflux.web.port.reading import READ
from otaflux.web.port.requestcache import RequestCache
from otaflux.web.port.secure import Secure
from otaflux.web.port.turnedaway import SecureTurnedAway, TurnedAway, say_and_close

ACCEPT = 128  # connections accepted in one go; a herd must not hold up those that are there
RETRY = 1.0  # seconds until accepting is tried again where there were no files or memory left

Take = Callable[[Begun], asyncio.BaseProtocol]


class Acceptor:
    """Accepts on listening sockets; `take` makes the protocol of a connection.

    Without a `cache` nothing is answered here, without `secure` there is no TLS. `trusts` says
    whether a peer is a trusted proxy.
    """

    def __init__(
        self,
        take: Take,
        *,
        connections: Connections,
        cache: RequestCache | None = None,
        secure: Secure | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._connections = connections
        self._secure = secure
        self._turned_away = TurnedAway()
        self._crowded = Folded(Event.CONNECTIONS_CROWDED, clock)
        self._listening: list[socket.socket] = []
        self._adopting: dict[asyncio.Task[None], _Arriving] = {}
        self._refusing: set[asyncio.Task[None]] = set()
        self.cache = cache
        self.clock = clock

    def listen(self, sock: socket.socket) -> None:
        """Accept what comes on `sock`, which is ours to close from now on."""
        self._listening.append(sock)
        asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    async def close(self) -> None:
        """Accept no more; who was accepted is in other hands then, or its connection has ended."""
        loop = asyncio.get_running_loop()
        for sock in self._listening:
            loop.remove_reader(sock)
            sock.close()
        self._listening.clear()
        self._turned_away.close()
        for arriving in list(self._adopting.values()):
            arriving.abort()
        for refusing in self._refusing:
            refusing.cancel()
        await asyncio.gather(*self._adopting, *self._refusing, return_exceptions=True)

    def adopt(self, arriving: _Arriving, begun: Begun) -> None:
        """Make a connection a transport, whose protocol goes on from there."""
        task = asyncio.get_running_loop().create_task(self._adopt(arriving, begun))
        self._adopting[task] = arriving
        task.add_done_callback(self._adopting.pop)

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken."""
        return self._secure is not None

    async def _adopt(self, arriving: _Arriving, begun: Begun) -> None:
        try:
            if self._secure is not None:
                await self._secure.handshake(
                    arriving.sock,
                    arriving.client,
                    lambda: self._take(begun),
                    begun=arriving.secures,
                )
            else:
                loop = asyncio.get_running_loop()
                await loop.connect_accepted_socket(lambda: self._take(begun), arriving.sock)
        finally:
            self._connections.leave(arriving)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPT):
            try:
                sock, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._note_crowded(str(error))
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                loop.call_later(RETRY, self._resume, listening)
                return
            sock.setblocking(False)  # noqa: FBT003 - the standard library takes it so
            if self._connections.are_full and not self._makes_way():
                self._turn_away(sock, peer)
            else:
                _Arriving(sock, peer, self, self._connections).read()

    def _makes_way(self) -> bool:
        self._note_crowded("all places for connections are taken")
        return self._connections.make_way()

    def _note_crowded(self, reason: str) -> None:
        self._crowded.note(reason, open=len(self._connections), reason=reason)

    def _turn_away(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        if self._secure is None:
            self._turned_away.take(sock)
        elif len(self._refusing) < self._turned_away.most:
            task = asyncio.get_running_loop().create_task(
                self._secure.handshake(sock, str(peer[0]), SecureTurnedAway, patience=PROMPT)
            )
            self._refusing.add(task)
            task.add_done_callback(self._refusing.discard)
        else:
            sock.close()

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)


class _Arriving:
    """A connection before it has a protocol; counted while nothing came, and while it gets one."""

    __slots__ = (
        "_acceptor",
        "_below",
        "_connections",
        "_ended",
        "_peer",
        "_reads",
        "_since",
        "sock",
    )

    def __init__(
        self,
        sock: socket.socket,
        peer: tuple[str, int],
        acceptor: Acceptor,
        connections: Connections,
    ) -> None:
        self.sock = sock
        self._peer = peer
        self._acceptor = acceptor
        self._connections = connections
        self._since = 0.0
        self._reads = False
        self._below: asyncio.BaseTransport | None = None
        self._ended = False

    @property
    def client(self) -> str:
        """The address at the other end."""
        return str(self._peer[0])

    def read(self) -> None:
        """Answer what came, or pass it on; wait where nothing did."""
        secure = self._acceptor.is_secure
        try:
            # With TLS only the layer of TLS may take what came.
            data = self.sock.recv(1, socket.MSG_PEEK) if secure else self.sock.recv(READ)
        except (BlockingIOError, InterruptedError):
            self._wait()
            return
        except OSError:
            data = b""
        if not data:
            self._leave()
            self.sock.close()
            return
        caches = self._acceptor.cache
        cache = caches.of_peer(self._peer) if caches is not None else None
        shared = cache is not caches
        if cache is None or secure:
            self._adopt(Begun(b"" if secure else data, shared=shared))
            return
        known = cache.lookup(data)
        if not isinstance(known, CachedAnswer) or not known.closes or known.wait:
            self._adopt(Begun(data, known, shared=shared))
            return
        self._leave()
        # Nothing is in the way of a connection's first bytes, unless its client is gone.
        with suppress(OSError):
            self.sock.send(cache.answer(known)[0])
        self.sock.close()

    def secures(self, below: asyncio.BaseTransport) -> None:
        """Its handshake has begun on that transport."""
        self._below = below
        if self._ended:
            self.abort()

    def check_idle(self, now: float) -> None:
        """End it when nothing came for `KEEPALIVE` seconds; a handshake bounds itself."""
        if self._reads and now - self._since >= KEEPALIVE:
            self.abort()

    def turn_away(self) -> None:
        """Make way for another: with an answer, but where TLS was to be spoken first."""
        if self._reads and not self._acceptor.is_secure:
            self._leave()
            say_and_close(self.sock)
        else:
            self.abort()

    def abort(self) -> None:
        """End it; one that is about to have its protocol is that protocol's to end."""
        self._ended = True
        if self._reads:
            self._leave()
            self.sock.close()
        elif isinstance(self._below, asyncio.Transport):
            self._below.abort()

    close_idle = abort

    def _wait(self) -> None:
        if not self._reads:
            self._reads = True
            self._since = self._acceptor.clock()
            self._connections.enter(self)
            asyncio.get_running_loop().add_reader(self.sock, self.read)

    def _adopt(self, begun: Begun) -> None:
        if self._reads:
            self._stop_reading()
        else:
            self._connections.enter(self)
        self._acceptor.adopt(self, begun)

    def _leave(self) -> None:
        if self._reads:
            self._stop_reading()
            self._connections.leave(self)

    def _stop_reading(self) -> None:
        self._reads = False
        asyncio.get_running_loop().remove_reader(self.sock)
