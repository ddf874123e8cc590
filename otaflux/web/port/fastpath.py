"""Polls that can be answered at once, before aiohttp, by bytes that are ready.

An `asyncio.Protocol` that parses nothing itself: the `RequestCache` knows whole requests by their
bytes. Whatever else comes, and whoever is a trusted proxy, goes to aiohttp for good, with the bytes
that came; both ways give the same bytes. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from aiohttp import web

from otaflux.web.port.connection import Connection
from otaflux.web.port.handler import KEEPALIVE
from otaflux.web.port.requestcache import CachedAnswer, RequestCache


class FastPath(asyncio.Protocol):
    """One connection, until something else than a poll comes; while open it is in `live`.

    `data` was read of it already.
    """

    __slots__ = ("_cache", "_data", "_last", "_live", "_to_aiohttp", "_told", "_transport")
    _transport: asyncio.Transport

    def __init__(
        self,
        cache: RequestCache,
        *,
        live: set[Connection],
        to_aiohttp: Callable[[], web.RequestHandler],
        data: bytes = b"",
    ) -> None:
        self._cache = cache
        self._live = live
        self._to_aiohttp = to_aiohttp
        self._data = data
        self._told: CachedAnswer | None = None
        self._last = cache.clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._live.add(self)
        data, self._data = self._data, b""
        if self._cache.trusts(transport.get_extra_info("peername")):
            self._hand_over(data)
        elif data:
            self.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._live.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer a poll, and hand over everything else."""
        cache = self._cache
        known = cache.lookup(data)
        if known is None:
            self._hand_over(data)
            return
        self._last = cache.clock()
        answer, self._told = cache.answer(known)
        self._transport.write(answer)
        if known.closes:
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

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()

    def _hand_over(self, data: bytes) -> None:
        self._live.discard(self)
        handler = self._to_aiohttp()
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        if self._told is not None:
            self._cache.tell(self._transport, self._told, self._last)
        if data:
            handler.data_received(data)
