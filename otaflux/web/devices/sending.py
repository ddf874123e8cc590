"""One download: how its bytes go out, and when it is too slow to go on.

On the event loop. Bytes go by `sendfile` from a shared descriptor with an offset, never by
position, and by reads and plain writes where TLS needs them in between (`aiohttpsending.py`). Both
read the page cache on the loop, as nginx does.

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

from otaflux.log import Event, log
from otaflux.web.answers import Span

STALLED = 5 * 60.0  # seconds without taking a byte
SLOW_AFTER = 10 * 60.0  # seconds after which a download must have had its pace
SLOWEST = 512  # bytes a second

QUEUE = 256 << 10  # bytes not yet sent that the kernel holds for a board
WIDE_QUEUE = 4 << 20  # … for one that empties half of `QUEUE` within `QUICK`
QUICK = 0.05  # seconds; no board on a radio does that, servers and proxies do
STEP = 1 << 20  # bytes for one sendfile: a cold file must not hold up polls for long

_INT = struct.Struct("i")
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # not everywhere; Linux and macOS
_CORK = getattr(socket, "TCP_CORK", None)  # Linux

# Hears how a download ended: with nothing where all of it went.
Ended = Callable[[OSError | None], None]


class Sending:
    """A span of a file on its way to a client: what was taken, and since when nothing was.

    `wire` is the connection's socket, `abort` ends the connection, `client` is the address that it
    goes to. `quick` says whether its reader makes room quickly, as far as is known.
    """

    __slots__ = (
        "_abort",
        "_asked",
        "_began",
        "_clock",
        "_ended",
        "_fd",
        "_last",
        "_own",
        "_queued",
        "_span",
        "_taken",
        "_wire",
        "client",
        "quick",
    )

    def __init__(
        self,
        wire: socket.socket,
        fd: int,
        span: Span,
        *,
        clock: Callable[[], float],
        client: str,
        abort: Callable[[], object],
        quick: bool = False,
    ) -> None:
        self._wire = wire
        self._fd = fd
        self._span = span
        self._clock = clock
        self._abort = abort
        self._began = self._last = clock()
        self._taken = 0
        self._ended: Ended | None = None
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
        self._abort()
        self.stop()

    def start(self, head: bytes) -> bool:
        """Send a head on a connection that owes nothing, and what the kernel takes of the file.

        Returns whether it took all; if not, `go_on`. Raises `BlockingIOError` where it takes not
        even the head, and nothing was sent then.
        """
        self.bound()
        wire = self._wire
        if _CORK is not None:  # the head waits for the bytes behind it
            wire.setsockopt(socket.IPPROTO_TCP, _CORK, 1)
        try:
            if os.write(wire.fileno(), head) < len(head):
                raise ConnectionAbortedError
            return self.push()
        finally:
            if _CORK is not None:
                wire.setsockopt(socket.IPPROTO_TCP, _CORK, 0)

    def bound(self) -> None:
        """Bound what the kernel takes beyond what it could send already.

        Who was quick before has a wide queue there already.
        """
        if not self.quick and self._span.length > QUEUE:
            self._limit()

    def push(self) -> bool:
        """Let the kernel take what it has room for; returns whether it has all of it now."""
        left = self._span.length - self._taken
        try:
            took = os.sendfile(
                (self._own or self._wire).fileno(),
                self._fd,
                self._span.start + self._taken,
                min(left, STEP),
            )
        except (BlockingIOError, InterruptedError):
            return False
        self.took(took)
        return took >= left

    def go_on(self, ended: Ended) -> None:
        """Let the kernel take what is left, whenever it has room; `ended` hears of the end."""
        # asyncio lets nobody else wait for room on a transport's descriptor, but on a duplicate;
        # and that one is ours until we close it, whatever becomes of the transport.
        own = self._own = self._wire.dup()
        self._ended = ended
        self._asked = self._clock()
        asyncio.get_running_loop().add_writer(own, self._room)

    def read(self, most: int) -> bytes:
        """The next bytes, at most so many, for who writes them itself and says that they went."""
        left = self._span.length - self._taken
        return os.pread(self._fd, min(most, left), self._span.start + self._taken)

    def took(self, took: int) -> None:
        """So many bytes went. Raises `OSError` where it is none: the file ends too early."""
        if not took:
            raise OSError("it is shorter than it was")
        self._taken += took
        self._last = self._clock()

    @property
    def is_whole(self) -> bool:
        """Whether all bytes went."""
        return self._taken >= self._span.length

    def stop(self) -> None:
        """Let the kernel take no more."""
        self._end(ConnectionAbortedError())

    def _room(self) -> None:
        if self._own is None:
            return
        try:
            self._widen(self._clock())
            if not self.push():
                return
        except OSError as error:
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: OSError | None) -> None:
        own, self._own = self._own, None
        ended, self._ended = self._ended, None
        if own is None or ended is None:
            return
        asyncio.get_running_loop().remove_writer(own)
        own.close()
        ended(error)

    def _widen(self, now: float) -> None:
        """A wide queue for who made room quickly, the usual one for who did not."""
        quick, self._asked = now - self._asked < QUICK, now
        if quick is not self.quick:
            self.quick = quick
            self._limit()

    def _limit(self) -> None:
        if _NOTSENT_LOWAT is not None and self._wire.fileno() >= 0:
            queue = WIDE_QUEUE if self.quick else QUEUE
            self._wire.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, queue)


def report(error: OSError) -> None:
    """Say why a download could not go on, where that was no client's doing.

    Its head is out and promised more, so there is nobody left to be told.
    """
    if not isinstance(error, ConnectionError):
        log.error(Event.REQUEST_FAILED, reason=f"a firmware file cannot be sent: {error}")
