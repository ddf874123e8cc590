"""Plain polls, answered before aiohttp by bytes that were built when the release was published.

Trust: nothing is parsed here. A read is looked up, byte for byte, among whole requests that were
seen before. A new one is parsed once by aiohttp's `HttpRequestParser` and judged by `ask.parse`, as
the handlers do it; only a single, whole request without a body whose answer depends on nothing but
the device is remembered. Whole is a matter of bytes, for the parser keeps the beginning of a next
request without a word. Whatever else comes, and whoever is a trusted proxy, goes to aiohttp for
good, with the bytes that came; both ways give the same bytes. All on one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import cast

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from otaflux.errors import Refused
from otaflux.model.release import Release
from otaflux.web import answers
from otaflux.web.answers import PlainPolls, http_date
from otaflux.web.ask import parse
from otaflux.web.downloads import Sender
from otaflux.web.handler import KEEPALIVE
from otaflux.web.live import Live
from otaflux.web.observer import Observer
from otaflux.web.origin import Origins
from otaflux.web.told import Connections

MAX_READ = 1024  # bytes; a plain poll is smaller
MAX_REMEMBERED = 4 << 20  # bytes of whole requests, the oldest go first
_PARSER_BUFFER = 64 << 10  # bytes; for bodies, and there are none here

Seen = tuple[str, bool]  # a request's target, and whether the connection stays open after it


class Door:
    """What the shortcuts of a port share: answers, requests seen before, and what was told."""

    def __init__(
        self,
        polls: PlainPolls,
        *,
        sender: Sender,
        connections: Connections,
        origins: Origins,
        observer: Observer,
        channels: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.polls = polls
        self.sender = sender
        self.connections = connections
        self.origins = origins
        self.clock = clock
        self.now = now
        self.seen: dict[bytes, Seen] = {}
        self.told: list[str] = []
        self.turned_away = 0
        self.busy = answers.busy().ready()
        self._observer = observer
        self._channels = channels
        self._size = 0

    def report(self) -> None:
        """Tell the observer what was answered since the last time."""
        told, self.told = Counter(self.told), []
        busy, self.turned_away = self.turned_away, 0
        polls = [self.polls.get(target) for target in told]
        devices = {poll.release.device for poll in polls if poll is not None}
        if told or busy:
            self._observer.plain(devices, told.total(), busy)

    def judge(self, data: bytes) -> Seen | None:
        """Whether a read is one plain poll that has an answer; it is remembered then."""
        seen = self._read(data)
        if seen is None or self.polls.get(seen[0]) is None:
            return None
        self._size += len(data)
        while self._size > MAX_REMEMBERED:
            oldest = next(iter(self.seen))
            del self.seen[oldest]
            self._size -= len(oldest)
        self.seen[data] = seen
        return seen

    def _read(self, data: bytes) -> Seen | None:
        """A read as one plain poll, whole; None for all else."""
        if len(data) > MAX_READ or data.find(b"\r\n\r\n") != len(data) - 4:
            return None
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(BaseProtocol(loop), loop, _PARSER_BUFFER)
        try:
            messages, upgraded, _ = parser.feed_data(data)
            if len(messages) != 1 or upgraded:
                return None
            message, body = messages[0]
            ask = parse(message.method, message.path, message.headers, channels=self._channels)
        except (HttpProcessingError, Refused):
            return None
        other = message.version != HttpVersion11 or message.upgrade or "Expect" in message.headers
        if other or not ask.plain or not body.is_eof():
            return None
        return message.path, not message.should_close


class Shortcut(asyncio.Protocol):
    """One connection, until something else than a plain poll comes; while open it is in `live`."""

    __slots__ = ("_door", "_last", "_live", "_release", "_to_aiohttp", "_transport")
    _transport: asyncio.Transport

    def __init__(
        self, door: Door, *, live: set[Live], to_aiohttp: Callable[[], web.RequestHandler]
    ) -> None:
        self._door = door
        self._live = live
        self._to_aiohttp = to_aiohttp
        self._release: Release | None = None
        self._last = door.clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._live.add(self)
        origins = self._door.origins
        if origins.trusted and origins.trusts(transport.get_extra_info("peername")[0]):
            self._hand_over(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._live.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer a plain poll, and hand over everything else."""
        door = self._door
        seen = door.seen.get(data) or door.judge(data)
        poll = door.polls.get(seen[0]) if seen else None
        if seen is None or poll is None:
            self._hand_over(data)
            return
        self._last = door.clock()
        if door.sender.full:
            ready, self._release = door.busy, None
            door.turned_away += 1
        else:
            ready, self._release = poll.ready, poll.release
            door.told.append(seen[0])
        date = http_date(int(door.now()))
        self._transport.write(
            b"".join((ready.before, date, ready.kept if seen[1] else ready.closed))
        )
        if not seen[1]:
            self._transport.close()

    def pause_writing(self) -> None:
        """Read no more polls of a client that does not read their answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def look(self, now: float) -> None:
        """End it when no poll came for `KEEPALIVE` seconds."""
        if now - self._last >= KEEPALIVE:
            self.let_go()

    def let_go(self) -> None:
        """End it once its answers are sent, or at once if the client does not take them."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def cut(self) -> None:
        """End it at once."""
        self._transport.abort()

    def _hand_over(self, data: bytes) -> None:
        self._live.discard(self)
        handler = self._to_aiohttp()
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        if self._release is not None:
            self._door.connections.tell(self._transport, self._release, at=self._last)
        if data:
            handler.data_received(data)
