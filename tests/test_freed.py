"""What was freed in threads does not stay with the process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from otaflux.freed import find_trim, give_back

SIZE = 1000  # bytes of a piece: small enough for the heap of its thread


def resident() -> int:
    """The memory of this process, in bytes (proc(5), VmRSS)."""
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line
    ]
    return int(line.split()[1]) << 10


def burst() -> bytes:
    """Use 64 MiB in pieces, and free all but the last."""
    pieces = [bytes(SIZE) for _ in range((64 << 20) // SIZE)]
    return pieces[-1]


@pytest.mark.skipif(find_trim() is None, reason="this C library gives nothing back by itself")
async def test_freed_memory_goes_back() -> None:
    """Within the next round: threads' heaps are as small as what is used in them."""
    before = resident()
    last = await asyncio.to_thread(burst)
    giving = asyncio.create_task(give_back(asyncio.to_thread, every=0.05))
    try:
        async with asyncio.timeout(10):
            while resident() - before > 16 << 20:  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(0.05)
    finally:
        giving.cancel()
    assert len(last) == SIZE
