"""Sums over one file as it streams by: size, CRC-32, MD5, SHA-1, SHA-256.

MD5 and SHA-1 together take about as long as everything else that a pull computes. Of a large file
they are given up, and computed from the file once its release is told.
"""

from __future__ import annotations

import hashlib

from otaflux.model.release import Sums
from otaflux.unpack import deflate


class SumsOf:
    """Sums of what `add` is given.

    `sha256` is that sum in hex where somebody else computes it over the very same bytes and holds
    them against it before they end: it is a seventh of what a pull of a plain file computes.
    Above `at_once` bytes there are no MD5 and SHA-1.
    """

    def __init__(self, sha256: str = "", *, at_once: int) -> None:
        self.size = 0
        self._at_once = at_once
        self._crc32 = 0
        self._known_sha256 = sha256
        self._sha256 = hashlib.sha256()
        # For boards and protocols that compare these; nothing here trusts them.
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)

    def add(self, piece: bytes | memoryview) -> None:
        """Sum the next piece. Blocks."""
        self.size += len(piece)
        self._crc32 = deflate.crc32(piece, self._crc32)
        if not self._known_sha256:
            self._sha256.update(piece)
        if self._sums_all:
            self._md5.update(piece)
            self._sha1.update(piece)

    def sums(self) -> Sums:
        """The sums of all that was added; nothing may be added after."""
        return Sums(
            self.size,
            self._crc32,
            self._md5.hexdigest() if self._sums_all else None,
            self._sha1.hexdigest() if self._sums_all else None,
            self._known_sha256 or self._sha256.hexdigest(),
        )

    @property
    def _sums_all(self) -> bool:
        return self.size <= self._at_once
