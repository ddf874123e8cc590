"""Reads of a bounded size.

asyncio reads up to 256 KiB of a connection at once, and what is behind a request that waits for its
answer is kept as it was read. That a transport can be told otherwise is not documented; a test
holds it to it. Under TLS a read is a record anyway.
"""

from __future__ import annotations

import asyncio

READ = 16 << 10  # bytes


def bound_reads(transport: asyncio.BaseTransport) -> None:
    """Have a transport read at most `READ` bytes at once, whoever its protocol is."""
    transport.max_size = READ  # type: ignore[attr-defined] # asyncio's selector transports have it
