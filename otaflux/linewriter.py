"""Lines for a descriptor whose other end may be slow, full or gone, written by a thread.

Whoever logs must neither wait nor fail. A pipe that nobody reads fills up, a disk may hang, and
making the descriptor non-blocking would change it for every other program that shares it, and would
not help with files. So lines go into a queue, bounded in bytes, and one thread writes them; what
finds no room, and what cannot be written, is dropped and counted. Once lines can be written again,
one of them says how many were lost.

For any thread. The bytes are UTF-8, whatever the locale says.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

MAX_QUEUED = 1 << 20  # bytes of lines that wait
_LOOK = 0.1  # seconds between looks at whether a non-blocking descriptor, or the end, has come


class LineWriter:
    """Writes lines to `descriptor`; with None each is dropped.

    `lost` makes the line that says how many were.
    """

    def __init__(
        self,
        descriptor: int | None,
        *,
        lost: Callable[[int], str],
        max_queued: int = MAX_QUEUED,
    ) -> None:
        self._descriptor = descriptor
        self._lost = lost
        self._max_queued = max_queued
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._queued = 0
        self._ending = False
        self._given_up = False
        self._thread: threading.Thread | None = None
        self._is_torn = False  # a line was begun and not ended
        self._told = 0
        self.dropped = 0

    def write(self, line: str) -> None:
        """Have a line written, without its end. Neither blocks nor raises."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            fits = self._descriptor is not None and self._queued + len(data) <= self._max_queued
            if not fits or not self._is_running():
                self.dropped += 1
                return
            self._lines.append(data)
            self._queued += len(data)
            self._changed.notify_all()

    def close(self, patience: float) -> None:
        """Wait until all was written or dropped, at most so many seconds."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(patience)
        self._given_up = True

    def _is_running(self) -> bool:
        """Whether there is a thread, now; where none can be had, the next line tries again."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the limit on threads
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._ending:
                    self._changed.wait()
                if not self._lines:
                    return
                line = self._lines[0]  # it counts as queued until it is written
            written = self._put(line)
            with self._changed:
                self._lines.popleft()
                self._queued -= len(line)
                self.dropped += not written
                unsaid = self.dropped - self._told if written else 0
            if unsaid and self._put(self._lost(unsaid).encode("utf-8", "backslashreplace") + b"\n"):
                self._told += unsaid

    def _put(self, line: bytes) -> bool:
        """Write a line; whether all of it could be."""
        descriptor = self._descriptor
        if descriptor is None:
            return False
        left = memoryview(b"\n" + line if self._is_torn else line)
        whole = len(left)
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                if self._given_up:
                    return False
                _wait_for_room(descriptor)
            except OSError:
                self._is_torn |= len(left) < whole
                return False
        self._is_torn = False
        return True


def _wait_for_room(descriptor: int) -> None:
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    room.poll(_LOOK * 1000)
