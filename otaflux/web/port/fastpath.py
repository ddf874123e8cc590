"""Polls that can be answered at once, before aiohttp, by bytes that are ready.

An `asyncio.Protocol` that parses nothing itself: the `RequestCache` knows whole requests by their
bytes. Whatever else comes goes to aiohttp for good, as far as it was read; both ways give the same
bytes. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from otaflux.web.port.connection import Begun, Connections, send_away
from otaflux.web.port.handler import KEEPALIVE, Handler
from otaflux.web.port.reading import bound_reads
from otaflux.web.port.requestcache import CachedAnswer, RequestCache
from otaflux.web.port.turnedaway import busy_answer


class FastPath(asyncio.Protocol):
    """One connection, until something else than a poll comes; while open it is in `connections`.

    `known` is what was asked there already, and found.
    """

    __slots__ = (
        "_cache",
        "_connections",
        "_first",
        "_last",
        "_silent",
        "_to_aiohttp",
        "_told",
        "_transport",
    )
    _transport: asyncio.Transport

    def __init__(
        self,
        cache: RequestCache,
        *,
        connections: Connections,
        to_aiohttp: Callable[[Begun], Handler],
        known: CachedAnswer | None = None,
    ) -> None:
        self._cache = cache
        self._connections = connections
        self._to_aiohttp = to_aiohttp
        self._first = known
        self._told: CachedAnswer | None = None
        self._silent = True
        self._last = cache.clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        bound_reads(transport)
        self._connections.enter(self)
        if self._first is not None:
            self._answer(self._first)
            self._first = None

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._connections.leave(self)

    def data_received(self, data: bytes) -> None:
        """Answer a poll, and hand over everything else."""
        known = self._cache.lookup(data)
        if known.__class__ is CachedAnswer:
            self._answer(known)
        else:
            self._hand_over(Begun(data, known, asked=not self._silent))

    def _answer(self, known: CachedAnswer) -> None:
        cache = self._cache
        if self._silent:
            self._silent = False
            self._connections.note_asked(self)
        self._last = cache.clock()
        answer, self._told = cache.answer(known)
        self._transport.write(answer)
        if known.closes or self._told is None:
            self._transport.close()

    def pause_writing(self) -> None:
        """Read no more polls of a client that does not read their answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def check_idle(self, now: float) -> None:
        """End it when no poll came for `KEEPALIVE` seconds."""
        if now - self._last >= KEEPALIVE:
            self.close_idle()

    def close_idle(self) -> None:
        """End it, for it is idle; at once if the client does not take its answers."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def turn_away(self) -> None:
        """Make way for another connection."""
        send_away(self._transport, busy_answer())

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()

    def _hand_over(self, begun: Begun) -> None:
        if self._told is not None:
            self._cache.tell(self._transport, self._told, self._last)
        handler = self._to_aiohttp(begun)
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        self._connections.leave(self)
