"""Pieces of a file that are taken in a thread of their own, beside the making of the next ones.

Unpacking is what takes longest, and one thread does it. To sum and to write what comes out takes
half as long again, and needs nothing but the pieces.

Concurrency: `work` runs in one thread at a time, in the order of the pieces: for the first one in
the caller's, since small files need no other, then in the new one, or on in the caller's while
there is none to be had. At most `_AHEAD` pieces wait. Pieces of 256 KiB and more let go of the
interpreter's lock while they are summed and written. The thread yields to others as much as the one
that began it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from otaflux import daemon

_AHEAD = 2  # pieces; each is held in memory until it was taken


class Aside:
    """Has `work` take each piece. A context manager: leaving it ends the thread."""

    def __init__(self, work: Callable[[bytes | memoryview], object]) -> None:
        self._work = work
        self._begun = False
        self._error: Exception | None = None
        self._pieces: queue.Queue[bytes | memoryview | None] = queue.Queue(_AHEAD)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._join()

    def put(self, piece: bytes | memoryview) -> None:
        """Hand over the next piece, which stays as it is. Blocks while too many wait.

        Raises what the work raised, of this piece or of one before; what comes after is dropped.
        """
        self._check()
        if self._begun and self._has_thread():
            self._pieces.put(piece)
            return
        self._begun = True
        self._work(piece)

    def end(self) -> None:
        """Wait until each piece was taken. Raises what the work raised."""
        self._join()
        self._check()

    def _has_thread(self) -> bool:
        """Whether there is a thread, now; where none can be had, the next piece tries again."""
        if self._thread is None:
            self._thread = daemon.begun(self._run, "aside")
        return self._thread is not None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            if self._error is None:
                try:
                    self._work(piece)
                except Exception as error:  # noqa: BLE001 - whoever hands over pieces hears of it
                    self._error = error

    def _join(self) -> None:
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()
            self._thread = None
