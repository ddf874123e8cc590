"""One download: how its bytes go out, and when it is too slow to go on.

On the event loop. Bytes go by `sendfile` from a shared descriptor with an offset, never by
position, and by reads and plain writes where TLS needs them in between. Both read the page cache on
the loop, as nginx does.

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
from collections.abc import Callable

from aiohttp import web

from otaflux.log import Event, log
from otaflux.web.answers import Span

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


class Sending:
    """One download under way: what was taken of it, and since when nothing was.

    `client` is the address that it goes to. `quick` says whether its reader makes room quickly, as
    far as is known.
    """

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
        "_wire",
        "client",
        "quick",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        clock: Callable[[], float],
        client: str,
        *,
        quick: bool = False,
    ) -> None:
        self._transport = transport
        self._wire: socket.socket = transport.get_extra_info("socket")
        self._clock = clock
        self._began = self._last = clock()
        self._taken = 0
        self._done: asyncio.Future[None] | None = None
        self._own: socket.socket | None = None
        self._queued = 0
        self._asked = 0.0
        self.client = client
        self.quick = quick

    def stalled(self, now: float) -> float:
        """Seconds for which nothing was taken, as far as this is asked often enough to see it."""
        queued, before = self._unread(), self._queued
        self._queued = queued
        if queued < before:
            self._last = now
        return now - self._last

    def judge(self, now: float) -> str:
        """Why it is to be dropped, or nothing."""
        stalled = self.stalled(now)
        if stalled >= STALLED:
            return f"nothing was taken for {stalled:.0f} s, of {self._taken} bytes so far"
        lasted = now - self._began
        if lasted >= SLOW_AFTER and self._taken < SLOWEST * lasted:
            return f"only {self._taken} bytes were taken in {lasted:.0f} s"
        return ""

    def _unread(self) -> int:
        """Bytes in the kernel's send queue (SIOCOUTQ, tcp(7)); 0 where it does not say."""
        wire = self._own or self._wire
        if wire.fileno() < 0:
            return 0
        try:
            (size,) = _INT.unpack(fcntl.ioctl(wire, termios.TIOCOUTQ, bytes(_INT.size)))
        except OSError:
            return 0
        return int(size)

    def drop(self) -> None:
        """End the connection, whatever is still to be sent on it."""
        self._transport.abort()
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionAbortedError())

    async def head(self, request: web.BaseRequest, head: bytes) -> None:
        """Send the head, and wait until the kernel has it: no other bytes may overtake it."""
        if self._transport.is_closing():
            raise ConnectionResetError
        await request.writer.write(head)
        await self._flushed(request)

    async def body(self, request: web.BaseRequest, fd: int, span: Span) -> None:
        """Send a span of a file."""
        if self._transport.is_closing():
            raise ConnectionResetError
        if span.length > QUEUE:
            self._limit()
        try:
            if self._is_tls():
                await self._by_writes(request, fd, span)
            elif not self._push(self._wire.fileno(), fd, span):
                await self._by_sendfile(fd, span)
        except ConnectionError:
            raise
        except OSError as error:
            # The head is out and promised more, so there is nobody left to be told.
            log.error(Event.REQUEST_FAILED, reason=f"a firmware file cannot be sent: {error}")
            self.drop()
            raise ConnectionAbortedError from error

    async def _by_sendfile(self, fd: int, span: Span) -> None:
        """Let the kernel take what is left, whenever it has room."""
        loop = asyncio.get_running_loop()
        done = self._done = loop.create_future()
        # asyncio lets nobody else wait for room on a transport's descriptor, but on a duplicate;
        # and that one is ours until we close it, whatever becomes of the transport.
        own = self._own = self._wire.dup()
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
        """Let the kernel take what it has room for; returns whether it has all of it now."""
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
        if quick is not self.quick:
            self.quick = quick
            self._limit()

    async def _by_writes(self, request: web.BaseRequest, fd: int, span: Span) -> None:
        while self._taken < span.length:
            chunk = os.pread(fd, min(CHUNK, span.length - self._taken), span.start + self._taken)
            await request.writer.write(chunk)
            await request.writer.drain()
            self._took(len(chunk))
        await self._flushed(request)

    async def _flushed(self, request: web.BaseRequest) -> None:
        """Wait until the transport holds nothing; under TLS its inner one may hold 64 KiB."""
        if not self._transport.get_write_buffer_size():
            return
        # Over its limit is what counts for a plain transport, at its limit for TLS.
        self._transport.set_write_buffer_limits(1 if self._is_tls() else 0)
        try:
            await request.writer.drain()
        finally:
            self._transport.set_write_buffer_limits()

    def _is_tls(self) -> bool:
        return self._transport.get_extra_info("sslcontext") is not None

    def _took(self, took: int) -> None:
        if not took:
            raise OSError("it is shorter than it was")
        self._taken += took
        self._last = self._clock()

    def _limit(self) -> None:
        """Bound what the kernel takes beyond what it could send already."""
        if _NOTSENT_LOWAT is not None and self._wire.fileno() >= 0:
            queue = WIDE_QUEUE if self.quick else QUEUE
            self._wire.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, queue)
