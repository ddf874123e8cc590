"""Lines for a descriptor whose other end may be slow, full or gone, written by a thread.

Whoever logs must neither wait nor fail. A pipe that nobody reads fills up, a disk may hang, and
making the descriptor non-blocking would change it for every other program that shares it, and would
not help with files. So lines go into a queue, bounded in bytes, and one thread writes them; what
finds no room, and what cannot be written, is dropped and counted. Once lines can be written again,
one of them says how many were lost.

After each write the thread rests for a moment, and then writes at once what came meanwhile. Waking
it for each line of many costs more than all else about them: it and who logs wait for each other.

For any thread. The bytes are UTF-8, whatever the locale says.
"""

from __future__ import annotations

import os
import select
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate

from otaflux import daemon

MAX_QUEUED = 1 << 20  # bytes of lines that wait
TOGETHER = select.PIPE_BUF  # bytes that are written at once: a pipe keeps so many in one piece
REST = 0.02  # seconds between two writes, unless more waits than is written at once
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
        self._is_waiting = False  # the thread, for a line
        self._ending = False
        self._given_up = False
        self._thread: threading.Thread | None = None
        self._is_torn = False  # a line was begun and not ended
        self._told = 0
        self.dropped = 0

    def write(self, line: str) -> None:
        """Have a line written, without its end. Neither blocks nor raises."""
        data = _encoded(line)
        with self._changed:
            fits = self._descriptor is not None and self._queued + len(data) <= self._max_queued
            if not fits or not self._is_running():
                self.dropped += 1
                return
            self._lines.append(data)
            self._queued += len(data)
            if self._is_waiting:
                self._is_waiting = False
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
            self._thread = daemon.begun(self._run, "log")
        return self._thread is not None

    def _run(self) -> None:
        while lines := self._next():
            whole = self._put(lines)
            with self._changed:
                for line in lines:
                    self._lines.popleft()
                    self._queued -= len(line)
                self.dropped += len(lines) - whole
                unsaid = self.dropped - self._told if whole == len(lines) else 0
            if unsaid and self._put([_encoded(self._lost(unsaid))]):
                self._told += unsaid
            with self._changed:
                if self._queued < TOGETHER:
                    self._changed.wait_for(lambda: self._ending, REST)

    def _next(self) -> list[bytes]:
        """The lines that are written at once next, one at least; none at the end.

        They count as queued until they are written.
        """
        with self._changed:
            self._is_waiting = not self._lines
            self._changed.wait_for(lambda: self._lines or self._ending)
            lines, size = list[bytes](), 0
            for line in self._lines:
                size += len(line)
                if lines and size > TOGETHER:
                    break
                lines.append(line)
            return lines

    def _put(self, lines: Sequence[bytes]) -> int:
        """Write lines at once; returns how many could be, whole."""
        descriptor = self._descriptor
        if descriptor is None:
            return 0
        torn = b"\n" if self._is_torn else b""
        ends = list(accumulate(map(len, lines), initial=len(torn)))
        left = memoryview(torn + b"".join(lines))
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                if self._given_up:
                    break
                _wait_for_room(descriptor)
            except OSError:
                break
        written = ends[-1] - len(left)
        self._is_torn = written not in ends
        return max(0, bisect_right(ends, written) - 1)


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace") + b"\n"


def _wait_for_room(descriptor: int) -> None:
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    room.poll(_LOOK * 1000)
