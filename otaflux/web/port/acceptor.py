"""Connections as they arrive: accepted, counted, and made transports where they need to be.

What is done with a connection until it needs one stands in `bareconnection.py`. On the event loop.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

from otaflux.folded import Folded
from otaflux.log import Event
from otaflux.web.port.bareconnection import BareConnection, Surroundings
from otaflux.web.port.connection import PROMPT, Begun, Connections
from otaflux.web.port.requestcache import RequestCache
from otaflux.web.port.secure import Secure
from otaflux.web.port.turnedaway import SecureTurnedAway, TurnedAway, say_and_close
from otaflux.web.port.watch import Watch

ACCEPT = 128  # connections accepted in one go; a herd must not hold up those that are there
RETRY = 1.0  # seconds until accepting is tried again where there were no files or memory left

Take = Callable[[Begun], asyncio.BaseProtocol]


class Acceptor:
    """Accepts on listening sockets; `take` makes the protocol of a connection.

    Without a `cache` nothing is answered before there is a protocol, without `secure` there is no
    TLS. `watch` is the acceptor's to close.
    """

    def __init__(
        self,
        take: Take,
        *,
        connections: Connections,
        watch: Watch,
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
        self._adopting: dict[asyncio.Task[None], BareConnection] = {}
        self._refusing: set[asyncio.Task[None]] = set()
        self._cache = cache
        self._watch = watch
        self._surroundings = Surroundings(
            connections, watch, clock, secure is not None, self._begin_to_adopt
        )

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
        self._watch.close()  # so that nothing gets a protocol from now on
        for bare in list(self._adopting.values()):
            bare.abort()
        for refusing in self._refusing:
            refusing.cancel()
        await asyncio.gather(*self._adopting, *self._refusing, return_exceptions=True)

    def _bare(self, sock: socket.socket, peer: Any) -> BareConnection:
        caches = self._cache
        cache = caches.of_peer(peer) if caches is not None else None
        return BareConnection(
            sock,
            str(peer[0]),
            self._surroundings,
            # With TLS only its layer may take what came.
            cache=cache if self._secure is None else None,
            shared=cache is not caches,
        )

    def _begin_to_adopt(self, bare: BareConnection, begun: Begun) -> None:
        task = asyncio.get_running_loop().create_task(self._adopt(bare, begun))
        self._adopting[task] = bare
        task.add_done_callback(self._adopting.pop)

    async def _adopt(self, bare: BareConnection, begun: Begun) -> None:
        try:
            if self._secure is not None:
                await self._secure.handshake(
                    bare.sock,
                    bare.client,
                    lambda: self._take(begun),
                    begun=bare.secures,
                )
            elif bare.makes_way:  # its place went to one that came right behind it
                say_and_close(bare.sock)
            else:
                loop = asyncio.get_running_loop()
                made, _ = await loop.connect_accepted_socket(lambda: self._take(begun), bare.sock)
                if not made.is_reading():
                    # Before Python 3.11.4 asyncio reads on where it was told not to at the
                    # beginning: say it again.
                    made.resume_reading()
                    made.pause_reading()
        finally:
            self._connections.leave(bare)

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
                self._bare(sock, peer).came()

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
