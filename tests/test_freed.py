"""What was freed in threads does not stay with the process."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from otaflux.freed import find_trim, give_back, set_aside, uncollected

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


def test_what_stays_is_looked_at_no_more() -> None:
    """What is made after it is, as ever."""
    before = gc.get_freeze_count()
    set_aside()
    try:
        assert gc.get_freeze_count() > before
        gone = weakref.ref(Ring())
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()


class Ring:
    """Something in a ring that nobody else holds."""

    def __init__(self) -> None:
        self.me = self


def test_the_collector_rests_and_goes_on() -> None:
    """It is off within, and on again behind, also where something went wrong; off stays off."""
    with pytest.raises(KeyError), uncollected():
        {}[gc.isenabled()]
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
