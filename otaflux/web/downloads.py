"""Firmware on its way to devices: who may download at once, how bytes go out, who is too slow.

All on one event loop. A place is held from before the head until the kernel took the last byte.
Bytes go by `sendfile` from a shared descriptor with an offset, never by position, and by reads and
plain writes where TLS needs them in between. Both read the page cache on the loop, as nginx does.

A board may stall for minutes while it erases flash, so nothing here has a short timeout. Once in a
while `look` judges all who download: dropped is who took nothing for `STALLED`, or less than
`SLOWEST` over `SLOW_AFTER` or more. What the kernel's send queue holds counts as taken, and left
alone it would take 3 to 4 MB; `TCP_NOTSENT_LOWAT` keeps it small, so that places are not given back
for firmware that nobody read. Only who makes room within `QUICK` gets a wide queue, for a small one
costs a wake of the loop every 128 KiB.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import termios
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web

from otaflux.errors import NotNow
from otaflux.log import Event, log
from otaflux.store import Opened
from otaflux.web.answers import BUSY_RETRY_AFTER, Answer, Span
from otaflux.web.written import Written, rendered

PATIENCE = 4.0  # seconds that a download waits for a place; ESPHome gives up after 4.5
STALLED = 5 * 60.0  # seconds without taking a byte
SLOW_AFTER = 10 * 60.0  # seconds after which a download must have had its pace
SLOWEST = 512  # bytes a second

QUEUE = 256 << 10  # bytes not yet sent that the kernel holds for a board
WIDE_QUEUE = 4 << 20  # … for one that empties half of `QUEUE` within `QUICK`
QUICK = 0.05  # seconds; no board on a radio does that, servers and proxies do
STEP = 1 << 20  # bytes for one sendfile: a cold file must not hold up polls for long
CHUNK = 64 << 10  # bytes for one write under TLS

_INT = struct.Struct("i")
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # not everywhere; Linux and macOS


class Sender:
    """Sends firmware, to `places` clients at once.

    `finished` and `broken_off` count what ended; a client that hangs up is no error.
    """

    def __init__(
        self,
        places: int,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._patience = patience
        self._clock = clock
        self._busy = 0
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._under_way: dict[asyncio.BaseTransport, _Sending] = {}
        self.finished = 0
        self.broken_off = 0

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self._busy >= self._places

    @property
    def under_way(self) -> int:
        """How many are being sent."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._line)

    def uses(self, transport: asyncio.BaseTransport) -> bool:
        """Whether a download is under way there, and is judged here."""
        return transport in self._under_way

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, in the order of coming, and have it while the context lasts.

        Raises `NotNow` where none is free within `patience` seconds.
        """
        if self.full:
            await self._turn()
        else:
            self._busy += 1
        try:
            yield
        finally:
            self._leave()

    async def send(
        self, request: web.BaseRequest, answer: Answer, opened: Opened, span: Span
    ) -> Written:
        """Send an answer's head and the bytes of `span`, once there is a place.

        Answers what the handler returns. Raises `NotNow` where no place gets free soon enough. A
        client that hangs up or is dropped, or a file that cannot be read, ends the connection, is
        counted, and raises nothing.
        """
        async with self.place():
            with self._sending(request.transport) as sending:
                try:
                    await sending.head(request, rendered(answer, request))
                    await sending.body(request, opened.fd, span)
                except ConnectionError:
                    self.broken_off += 1
                    return Written(answer, sent=True, close=True)
                except asyncio.CancelledError:
                    self.broken_off += 1
                    raise
        self.finished += 1
        return Written(answer, sent=True)

    def look(self) -> None:
        """Drop those who are too slow; to be called every few seconds."""
        now = self._clock()
        for sending in list(self._under_way.values()):
            reason = sending.judge(now)
            if reason:
                log.info(Event.DOWNLOAD_DROPPED, reason=reason, client=sending.client)
                sending.drop()

    def drop_all(self) -> None:
        """End all that are under way, for the server ends."""
        for sending in list(self._under_way.values()):
            sending.drop()

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._line[turn] = None
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            # It may have come in the very step in which patience ended.
            if turn.cancelled():
                raise NotNow(
                    "All download places are taken", retry_after=BUSY_RETRY_AFTER
                ) from None
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()
            raise
        finally:
            self._line.pop(turn, None)

    def _leave(self) -> None:
        """Give a place to who waits longest, or free it."""
        while self._line:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._busy -= 1

    @contextmanager
    def _sending(self, transport: asyncio.Transport | None) -> Iterator[_Sending]:
        sending = _Sending(transport, self._clock)
        if transport is None:  # gone already; writing the head will say so
            yield sending
            return
        self._under_way[transport] = sending
        try:
            yield sending
        finally:
            del self._under_way[transport]


class _Sending:
    """One download under way: what was taken of it, and since when nothing was."""

    __slots__ = (
        "_asked",
        "_began",
        "_clock",
        "_done",
        "_last",
        "_own",
        "_queued",
        "_taken",
        "_transport",
        "_wide",
    )

    def __init__(self, transport: asyncio.Transport | None, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._clock = clock
        self._began = self._last = clock()
        self._taken = 0
        self._done: asyncio.Future[None] | None = None
        self._own: socket.socket | None = None
        self._queued = 0
        self._asked = 0.0
        self._wide = False

    @property
    def client(self) -> str:
        """The address at the other end of the connection."""
        peer = self._transport and self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def judge(self, now: float) -> str:
        """Why it is to be dropped, or nothing."""
        queued, before = self._unread(), self._queued
        self._queued = queued
        if queued < before:
            self._last = now
        if now - self._last >= STALLED:
            return f"nothing was taken for {now - self._last:.0f} s, of {self._taken} bytes so far"
        lasted = now - self._began
        if lasted >= SLOW_AFTER and self._taken < SLOWEST * lasted:
            return f"only {self._taken} bytes were taken in {lasted:.0f} s"
        return ""

    def _unread(self) -> int:
        """Bytes in the kernel's send queue (SIOCOUTQ, tcp(7)); 0 where it does not say."""
        wire: socket.socket | None = self._own
        if wire is None and self._transport is not None:
            wire = self._transport.get_extra_info("socket")
        if wire is None or wire.fileno() < 0:
            return 0
        try:
            (size,) = _INT.unpack(fcntl.ioctl(wire, termios.TIOCOUTQ, bytes(_INT.size)))
        except OSError:
            return 0
        return int(size)

    def drop(self) -> None:
        """End the connection, whatever is still to be sent on it."""
        if self._transport is not None:
            self._transport.abort()
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionAbortedError())

    async def head(self, request: web.BaseRequest, head: bytes) -> None:
        """Send the head, and wait until the kernel has it: no other bytes may overtake it."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError
        self._limit(QUEUE)
        await request.writer.write(head)
        await self._flushed(request, self._transport)

    async def body(self, request: web.BaseRequest, fd: int, span: Span) -> None:
        """Send a span of a file."""
        try:
            if self._transport is None or self._transport.is_closing():
                raise ConnectionResetError
            if _is_plain(self._transport):
                await self._by_sendfile(self._transport, fd, span)
            else:
                await self._by_writes(request, self._transport, fd, span)
        except ConnectionError:
            raise
        except OSError as error:
            # The head is out and promised more, so there is nobody left to be told.
            log.error(Event.REQUEST_FAILED, reason=f"a firmware file cannot be sent: {error}")
            self.drop()
            raise ConnectionAbortedError from error

    async def _by_sendfile(self, transport: asyncio.Transport, fd: int, span: Span) -> None:
        wire = transport.get_extra_info("socket")
        if self._push(wire.fileno(), fd, span):
            return
        loop = asyncio.get_running_loop()
        done = self._done = loop.create_future()
        # asyncio lets nobody else wait for room on a transport's descriptor, but on a duplicate;
        # and that one is ours until we close it, whatever becomes of the transport.
        own = self._own = wire.dup()
        self._asked = self._clock()

        def room() -> None:
            if done.done():
                return
            try:
                self._widen(self._clock())
                if self._push(own.fileno(), fd, span):
                    done.set_result(None)
            except OSError as error:
                done.set_exception(error)

        try:
            loop.add_writer(own, room)
            await done
        finally:
            loop.remove_writer(own)
            self._own = None
            own.close()

    def _push(self, to: int, fd: int, span: Span) -> bool:
        """Let the kernel take what it has room for; answers whether it has all of it now."""
        left = span.length - self._taken
        try:
            took = os.sendfile(to, fd, span.start + self._taken, min(left, STEP))
        except (BlockingIOError, InterruptedError):
            return False
        self._took(took)
        return took >= left

    def _widen(self, now: float) -> None:
        """A wide queue for who made room quickly, the usual one for who did not."""
        quick, self._asked = now - self._asked < QUICK, now
        if quick is not self._wide:
            self._wide = quick
            self._limit(WIDE_QUEUE if quick else QUEUE)

    async def _by_writes(
        self, request: web.BaseRequest, transport: asyncio.Transport, fd: int, span: Span
    ) -> None:
        while self._taken < span.length:
            chunk = os.pread(fd, min(CHUNK, span.length - self._taken), span.start + self._taken)
            await request.writer.write(chunk)
            await request.writer.drain()
            self._took(len(chunk))
        await self._flushed(request, transport)

    async def _flushed(self, request: web.BaseRequest, transport: asyncio.Transport) -> None:
        """Wait until the transport holds nothing; under TLS its inner one may hold 64 KiB."""
        # Over its limit is what counts for a plain transport, at its limit for TLS: with 0 that
        # would wait for an empty buffer to get emptier.
        transport.set_write_buffer_limits(0 if _is_plain(transport) else 1)
        try:
            await request.writer.drain()
        finally:
            transport.set_write_buffer_limits()

    def _took(self, took: int) -> None:
        if not took:
            raise OSError("it is shorter than it was")
        self._taken += took
        self._last = self._clock()

    def _limit(self, queue: int) -> None:
        """Bound what the kernel takes beyond what it could send already."""
        if self._transport is None or _NOTSENT_LOWAT is None:
            return
        wire = self._transport.get_extra_info("socket")
        if wire is not None and wire.fileno() >= 0:
            wire.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, queue)


def _is_plain(transport: asyncio.BaseTransport) -> bool:
    return transport.get_extra_info("sslcontext") is None
