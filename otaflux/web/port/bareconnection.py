"""Connections on their bare sockets: where polls are answered before there is a transport.

asyncio's way to a transport costs more than a poll that closes its connection, and what it does in
Python for each read as much as the answer to a poll. A board that polls needs neither. Whatever
else comes makes the socket a transport for good, with what was read and found so far; so does an
answer that its client does not take, for a transport bounds what waits to be sent. A silent
connection costs nothing but its file. On the event loop; nothing is parsed here, see
`requestcache.py`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from otaflux.web.port.cachedanswer import CachedAnswer
from otaflux.web.port.connection import Begun, Connections
from otaflux.web.port.handler import KEEPALIVE
from otaflux.web.port.reading import READ
from otaflux.web.port.requestcache import Found, RequestCache
from otaflux.web.port.turnedaway import say_and_close
from otaflux.web.port.watch import Watch


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the bare connections of a port share.

    `is_secure` says that TLS is spoken, `clock` counts seconds and never goes back. `adopt` makes a
    connection a transport, whose protocol goes on from there; the connection stays in `connections`
    until that one is.
    """

    connections: Connections
    watch: Watch
    clock: Callable[[], float]
    is_secure: bool
    adopt: Callable[[BareConnection, Begun], object]


class BareConnection:
    """A connection until it has a protocol; `client` is the address at the other end.

    Without a `cache` nothing is taken of it, for others want all that comes. A `shared` one is a
    trusted proxy's. It is counted while it waits, and while it gets a protocol. One that
    `makes_way` for another gets none any more.
    """

    __slots__ = (
        "_asked",
        "_below",
        "_cache",
        "_ended",
        "_last",
        "_shared",
        "_surroundings",
        "_told",
        "_waits",
        "client",
        "makes_way",
        "sock",
    )

    def __init__(
        self,
        sock: socket.socket,
        client: str,
        surroundings: Surroundings,
        *,
        cache: RequestCache | None,
        shared: bool,
    ) -> None:
        self.sock = sock
        self.client = client
        self._surroundings = surroundings
        self._cache = cache
        self._shared = shared
        self._asked = False
        self._waits = False
        self._last = 0.0
        self._told: CachedAnswer | None = None
        self._below: asyncio.BaseTransport | None = None
        self._ended = False
        self.makes_way = False

    def came(self) -> None:
        """Answer the poll that came, or pass on what did; wait where nothing did."""
        cache = self._cache
        try:
            data = self.sock.recv(1, socket.MSG_PEEK) if cache is None else self.sock.recv(READ)
        except (BlockingIOError, InterruptedError):
            self._wait()
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        if cache is None:
            self._adopt(Begun(shared=self._shared))
            return
        try:
            known = cache.lookup(data)
            if known.__class__ is CachedAnswer and not known.wait:
                self._answer(known, cache)
                return
        except Exception:  # a bug: its client shall not wait for an answer that never comes
            self._end()
            raise
        self._adopt(self._begun(data, known))

    def secures(self, below: asyncio.BaseTransport) -> None:
        """Its handshake has begun on that transport."""
        self._below = below
        if self._ended:
            self.abort()

    def check_idle(self, now: float) -> None:
        """End it when nothing came for `KEEPALIVE` seconds; a handshake bounds itself."""
        if self._waits and now - self._last >= KEEPALIVE:
            self.abort()

    def turn_away(self) -> None:
        """Make way for another: with an answer, but where TLS was to be spoken first."""
        self.makes_way = True
        if self._waits and not self._surroundings.is_secure:
            self._leave()
            say_and_close(self.sock)
        else:
            self.abort()

    def abort(self) -> None:
        """End it; one that is about to have its protocol is that protocol's to end."""
        self._ended = True
        if self._waits:
            self._end()
        elif isinstance(self._below, asyncio.Transport):
            self._below.abort()

    close_idle = abort

    def _answer(self, known: CachedAnswer, cache: RequestCache) -> None:
        """Answer a poll, and wait for the next one where the connection stays open."""
        answer, told = cache.answer(known)
        try:
            sent = self.sock.send(answer)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:  # its client is gone
            self._end()
            return
        is_whole = sent == len(answer)
        if is_whole and (told is None or known.closes):
            self._end()
            return
        self._told, self._last = told, self._surroundings.clock()
        if not self._asked:
            self._asked = True
            self._surroundings.connections.note_asked(self)
            if is_whole:
                self._wait()
        if not is_whole:
            self._adopt(self._begun(owed=answer[sent:]))

    def _begun(self, data: bytes = b"", found: Found = None, owed: bytes = b"") -> Begun:
        return Begun(
            data,
            found,
            shared=self._shared,
            asked=self._asked,
            told=self._told,
            told_at=self._last,
            owed=owed,
        )

    def _wait(self) -> None:
        if not self._waits:
            self._surroundings.watch.add(self.sock, self.came)
            self._waits = True
            self._last = self._surroundings.clock()
            self._surroundings.connections.enter(self, asked=self._asked)

    def _adopt(self, begun: Begun) -> None:
        if self._waits:
            self._waits = False
            self._surroundings.watch.remove(self.sock)
        else:
            self._surroundings.connections.enter(self, asked=begun.asked)
        self._surroundings.adopt(self, begun)

    def _end(self) -> None:
        self._leave()
        self.sock.close()

    def _leave(self) -> None:
        if self._waits:
            self._waits = False
            self._surroundings.watch.remove(self.sock)
            self._surroundings.connections.leave(self)
