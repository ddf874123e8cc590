"""Bytes that come once and in order, read in whatever pieces a format asks for.

Every packing is read through one of these, and makes the next. A stream that failed fails again
with the same error whenever it is asked: so an error found while a candidate inside a tar is read
can be put aside, and comes back where it was the tar's own, or the registry's.
"""

from __future__ import annotations

from collections.abc import Callable

MAX_CHUNK = 1 << 20  # bytes given at once


class Stream:
    """Reads what `more` gives, piece by piece, until that is empty. For one thread."""

    __slots__ = ("_at", "_buffer", "_ended", "_failure", "_more")

    def __init__(self, more: Callable[[], bytes | memoryview]) -> None:
        self._more = more
        self._buffer = memoryview(b"")
        self._at = 0
        self._ended = False
        self._failure: Exception | None = None

    def _pull(self) -> bytes | memoryview:
        """The next piece from below; empty at the end. Its errors are remembered."""
        if self._failure is not None:
            raise self._failure
        if self._ended:
            return b""
        try:
            piece = self._more()
        except Exception as failure:
            self._failure = failure
            raise
        self._ended = not piece
        return piece

    def chunk(self, at_most: int = MAX_CHUNK) -> memoryview:
        """The next bytes that can be had without copying, at least one; empty at the end."""
        if self._at == len(self._buffer):
            self._buffer, self._at = memoryview(self._pull()), 0
        piece = self._buffer[self._at : self._at + at_most]
        self._at += len(piece)
        return piece

    def back(self, count: int) -> None:
        """Un-read the last `count` bytes of the piece that `chunk` gave last."""
        self._at -= count

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, which stay to be read; fewer only at the end. Held in memory."""
        if len(self._buffer) - self._at < count:
            gathered = bytearray(self._buffer[self._at :])
            while len(gathered) < count and (piece := self._pull()):
                gathered += piece
            self._buffer, self._at = memoryview(gathered), 0
        return bytes(self._buffer[self._at : self._at + count])

    def take(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end. Held in memory."""
        taken = self.peek(count)
        self._at += len(taken)
        return taken

    def skip(self, count: int) -> int:
        """Read past `count` bytes; returns how many there were, fewer only at the end."""
        left = count
        while left and (piece := self.chunk(min(left, MAX_CHUNK))):
            left -= len(piece)
        return count - left

    def drain(self) -> None:
        """Read to the end."""
        while self.chunk():
            pass
