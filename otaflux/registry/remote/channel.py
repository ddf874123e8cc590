"""From the event loop to one thread: bytes over a short queue, either side may end it.

The loop puts without blocking and waits while the queue is full; the thread gets and blocks. One
lock, held for a few instructions. Whoever closes the channel wakes the thread at once, whatever it
is waiting for, so that no thread outlives the context that began it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from otaflux.errors import Undecided

MAX_QUEUED = 512 * 1024  # bytes; the queue may hold one chunk more than this


class Chunks:
    """A queue of chunks. Made on the loop; `get` is for the thread, all else for the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._queued = 0
        self._ended = False
        self._error: Exception | None = None
        self._closed = False

    async def put(self, chunk: bytes) -> None:
        """Hand a chunk over, once there is room; into a closed channel it is dropped."""
        while True:
            with self._changed:
                if self._closed:
                    return
                if self._queued < MAX_QUEUED:
                    self._chunks.append(chunk)
                    self._queued += len(chunk)
                    self._changed.notify()
                    return
                self._room.clear()
            await self._room.wait()

    def end(self, error: Exception | None = None) -> None:
        """No more chunks come: all were given, or `error` says why not."""
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify()

    def close(self) -> None:
        """Let go of the thread; what it did not get is dropped."""
        with self._changed:
            self._closed = True
            self._chunks.clear()
            self._changed.notify()
        self._room.set()

    def get(self) -> bytes:
        """The next chunk, or nothing after the last; blocks.

        Raises the error that the loop ended with, once all before it was given, and `Undecided`
        where the channel was closed.
        """
        with self._changed:
            while not (self._chunks or self._ended or self._closed):
                self._changed.wait()
            if self._closed:
                raise Undecided("the download was broken off here")
            if self._chunks:
                chunk = self._chunks.popleft()
                was_full = self._queued >= MAX_QUEUED
                self._queued -= len(chunk)
                if was_full and self._queued < MAX_QUEUED:
                    self._loop.call_soon_threadsafe(self._room.set)
                return chunk
            if self._error is not None:
                raise self._error
            return b""
