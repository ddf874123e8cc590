"""Reads of a bounded size, into one buffer that all connections share.

asyncio reads up to 256 KiB at once for a protocol that takes bytes, and what is behind a request
that waits for its answer is kept. A protocol with a buffer of its own says how much it takes; and
since what was read is copied before the next read, one buffer is enough. For one event loop.
"""

from __future__ import annotations

import asyncio

READ = 16 << 10  # bytes

_BUFFER = memoryview(bytearray(READ))


class BoundedReads(asyncio.BufferedProtocol):
    """Gives what was read to `data_received`, at most `READ` bytes at a time."""

    __slots__ = ()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes were read."""
        self.data_received(bytes(_BUFFER[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        raise NotImplementedError
