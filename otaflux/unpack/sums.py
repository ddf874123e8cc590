"""Sums over one file as it streams by: size, CRC-32, MD5, SHA-1, SHA-256.

MD5 and SHA-1 together take about as long as everything else that a pull computes. Of a large file
they are given up, and computed from the file once its release is told.

Concurrency: those two have a thread of their own, from the second piece on: small files need none.
Pieces of 256 KiB and more let go of the interpreter's lock while they are summed. At most `_AHEAD`
pieces wait.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from types import TracebackType
from typing import Self

from otaflux.model.release import Sums
from otaflux.unpack import deflate

_AHEAD = 2  # pieces; each is held in memory until the thread took it


class SumsOf:
    """Sums of what `add` is given. A context manager: leaving it ends the thread.

    `sha256` is that sum in hex where somebody else computes it over the very same bytes and holds
    them against it before they end: it is a seventh of what a pull of a plain file computes.
    Above `at_once` bytes there are no MD5 and SHA-1.
    """

    def __init__(self, sha256: str = "", *, at_once: int) -> None:
        self.size = 0
        self._at_once = at_once
        self._sums_all = True
        self._crc32 = 0
        self._known_sha256 = sha256
        self._sha256 = hashlib.sha256()
        # For boards and protocols that compare these; nothing here trusts them.
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._pieces: queue.Queue[bytes | memoryview] = queue.Queue(_AHEAD)
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

    def add(self, piece: bytes | memoryview) -> None:
        """Sum the next piece, which is not empty and stays as it is. Blocks for the thread."""
        if self._sums_all and self.size + len(piece) > self._at_once:
            self._sums_all = False
            self._join()
        if self._sums_all:
            self._sum_aside(piece)
        self.size += len(piece)
        self._crc32 = deflate.crc32(piece, self._crc32)
        if not self._known_sha256:
            self._sha256.update(piece)

    def sums(self) -> Sums:
        """The sums of all that was added; nothing may be added after."""
        self._join()
        return Sums(
            self.size,
            self._crc32,
            self._md5.hexdigest() if self._sums_all else None,
            self._sha1.hexdigest() if self._sums_all else None,
            self._known_sha256 or self._sha256.hexdigest(),
        )

    def _sum_aside(self, piece: bytes | memoryview) -> None:
        """MD5 and SHA-1 of the next piece, in the thread where there is more than one piece."""
        if self._thread is None and self.size:
            self._thread = threading.Thread(target=self._sum_pieces, name="sums", daemon=True)
            self._thread.start()
        if self._thread is None:
            self._sum_slow_ones(piece)
        else:
            self._pieces.put(piece)

    def _sum_slow_ones(self, piece: bytes | memoryview) -> None:
        self._md5.update(piece)
        self._sha1.update(piece)

    def _sum_pieces(self) -> None:
        while piece := self._pieces.get():
            self._sum_slow_ones(piece)

    def _join(self) -> None:
        if self._thread is not None:
            self._pieces.put(b"")
            self._thread.join()
            self._thread = None
