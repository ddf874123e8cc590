"""Memory that is free again goes back to the system.

The C library keeps what threads freed in heaps of their own: after a burst of large listings, pulls
or connections that was as much again as all the rest. glibc gives it back when asked, which takes
some milliseconds after such a burst and next to nothing else; other libraries have no such call.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

from otaflux.threads import InThread

EVERY = 20.0  # seconds


def find_trim() -> Callable[[int], object] | None:
    """The C library's call (malloc_trim(3)); None where it has none."""
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return found


async def give_back(in_thread: InThread, *, every: float = EVERY) -> None:
    """Give free memory back from time to time, until cancelled."""
    trim = find_trim()
    while trim is not None:
        await asyncio.sleep(every)
        await in_thread(trim, 0)
