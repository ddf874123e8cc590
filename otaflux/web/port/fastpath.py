"""Polls and downloads on a transport that can be answered at once, by bytes that are ready.

An `asyncio.Protocol` that parses nothing itself: the `RequestCache` knows whole requests by their
bytes. Whatever else comes goes to aiohttp for good, as far as it was read; both ways give the same
bytes. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from otaflux.web.port.cachedanswer import CachedAnswer, CachedDownload
from otaflux.web.port.connection import NOTHING, Begun, Connections, close, cut, send_away
from otaflux.web.port.handler import KEEPALIVE, Handler
from otaflux.web.port.plaindownloads import Departure
from otaflux.web.port.reading import bound_reads
from otaflux.web.port.requestcache import RequestCache
from otaflux.web.port.turnedaway import busy_answer


class FastPath(asyncio.Protocol):
    """One connection, until something comes that is for aiohttp; while open it is in `connections`.

    `begun` is what became of it on its bare socket, see `bareconnection.py`.
    """

    __slots__ = (
        "_begun",
        "_behind",
        "_cache",
        "_connections",
        "_ends",
        "_last",
        "_sends",
        "_silent",
        "_to_aiohttp",
        "_told",
        "_transport",
        "_waits",
    )
    _transport: asyncio.Transport

    def __init__(
        self,
        cache: RequestCache,
        *,
        connections: Connections,
        to_aiohttp: Callable[[Begun], Handler],
        begun: Begun = NOTHING,
    ) -> None:
        self._cache = cache
        self._connections = connections
        self._to_aiohttp = to_aiohttp
        self._begun = begun
        self._told = begun.told
        self._silent = not begun.asked
        self._waits: CachedAnswer | None = None
        self._sends: CachedDownload | None = None
        self._behind = b""
        self._ends = False
        self._last = begun.told_at if begun.asked else cache.clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        bound_reads(transport)
        begun, self._begun = self._begun, NOTHING
        self._connections.enter(self, asked=begun.asked)
        if isinstance(begun.found, CachedAnswer):
            self._take(begun.found)
            self.changed()  # what it waits for may have come since it was found
        elif isinstance(begun.found, CachedDownload):
            self._send(begun.found, begun.data)
        elif begun.data:
            self._hand_over(begun)
        elif begun.owed:
            self._write(begun.owed)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._cache.parked.leave(self)
        self._connections.leave(self)

    def data_received(self, data: bytes) -> None:
        """Answer a poll, and hand over everything else."""
        if self._waits is not None or self._sends is not None:
            # Only now: before Python 3.11.4 asyncio reads on where that is said at the beginning.
            self._behind += data
            self._transport.pause_reading()
            return
        known = self._cache.lookup(data)
        if known.__class__ is CachedAnswer:
            self._take(known)
        elif known.__class__ is CachedDownload:
            self._send(known, data)
        else:
            self._hand_over(Begun(data, known, asked=not self._silent))

    def eof_received(self) -> bool:
        """Close, but not before the answer to a poll that waits, or the rest of a download."""
        secure = self._transport.get_extra_info("sslcontext") is not None
        is_owed = self._waits is not None or self._sends is not None
        self._ends = is_owed and not secure
        return self._ends

    def changed(self) -> None:
        """Answer a poll that waits, if something else is told now."""
        waits = self._waits
        if waits is None:
            return
        known = self._cache.again(waits)
        if isinstance(known, CachedAnswer) and known.wait:
            self._waits = known
            return
        self._cache.parked.leave(self)
        self._waits = None
        if isinstance(known, CachedAnswer):
            self._answer(known)
            self._go_on()
        else:  # there is nothing to be told any more, or it takes more to say what
            behind, self._behind = self._behind, b""
            self._hand_over(Begun(waits.key + behind, None if behind else known, asked=True))
            if behind:
                self._transport.resume_reading()

    def waited(self) -> None:
        """Answer a poll that waited for so long as it wanted to."""
        waits, self._waits = self._waits, None
        if waits is not None:
            self._answer(waits)
            self._go_on()

    def _take(self, known: CachedAnswer) -> None:
        """Answer a poll, or have it wait."""
        parked = self._cache.parked
        if not known.wait or known.ask is None or parked.is_full:
            self._answer(known)
            return
        self._note_asked()
        self._waits = known
        parked.enter(self, known.ask.device, known.wait)

    def _go_on(self) -> None:
        """Take what came meanwhile."""
        behind, self._behind = self._behind, b""
        if self._transport.is_closing():
            return
        if behind:
            self._transport.resume_reading()
            self.data_received(behind)
        if not self._ends or self._waits is not None or self._sends is not None:
            return
        protocol = self._transport.get_protocol()
        # Whoever has the connection now may have an answer to give before its end.
        if protocol is self or not cast("asyncio.Protocol", protocol).eof_received():
            close(self._transport)

    def _send(self, known: CachedDownload, data: bytes) -> None:
        """Send firmware, or hand its request over where that cannot be here and now."""
        told, transport = self._told, self._transport
        outcome = Departure.NOT_HERE
        # A release that was told before holds, and the handlers know for how long.
        same = told is None or told.told is known.release
        peer = transport.get_extra_info("peername")
        if same and self._cache.plain is not None and not transport.get_write_buffer_size():
            outcome = self._cache.plain.send(
                known,
                transport.get_extra_info("socket"),
                connection=transport,
                client=str(peer[0]) if isinstance(peer, tuple) else "",
                abort=self.abort,
                ended=self._sent,
            )
        if outcome is Departure.NOT_HERE:
            self._hand_over(Begun(data, asked=not self._silent))
            return
        self._note_asked()
        self._told, self._sends = None, known
        if outcome is not Departure.LASTS:
            self._sent(outcome)

    def _sent(self, outcome: Departure) -> None:
        """Go on where all of the firmware went."""
        sends, self._sends = self._sends, None
        self._last = self._cache.clock()
        if outcome is Departure.BROKEN:
            cut(self._transport)
        elif sends is not None and sends.closes:
            close(self._transport)
        else:
            self._go_on()

    def _note_asked(self) -> None:
        if self._silent:
            self._silent = False
            self._connections.note_asked(self)
        self._last = self._cache.clock()

    def _answer(self, known: CachedAnswer) -> None:
        cache = self._cache
        self._note_asked()
        answer, self._told = cache.answer(known)
        self._write(answer)

    def _write(self, answer: bytes) -> None:
        self._transport.write(answer)
        if self._told is None or self._told.closes:
            close(self._transport)

    def pause_writing(self) -> None:
        """Read no more polls of a client that does not read their answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def check_idle(self, now: float) -> None:
        """End it when no poll came for `KEEPALIVE` seconds."""
        if self._sends is None and now - self._last >= KEEPALIVE:
            self.close_idle()

    def close_idle(self) -> None:
        """End it, for it is idle; at once if the client does not take its answers."""
        if self._sends is not None:
            self._ends = True
            return
        self._cache.parked.leave(self)
        self.waited()
        if self._transport.get_write_buffer_size():
            cut(self._transport)
        else:
            close(self._transport)

    def turn_away(self) -> None:
        """Make way for another connection."""
        send_away(self._transport, busy_answer())

    def abort(self) -> None:
        """End it at once."""
        cut(self._transport)

    def _hand_over(self, begun: Begun) -> None:
        if self._told is not None:
            self._cache.tell(self._transport, self._told, self._last)
        handler = self._to_aiohttp(begun)
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        self._connections.leave(self)
