"""Memory that is free again goes back to the system, and is not looked for in vain.

The C library keeps what threads freed in heaps of their own: after a burst of large listings, pulls
or connections that was as much again as all the rest. glibc gives it back when asked, which takes
some milliseconds after such a burst and next to nothing else; other libraries have no such call.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


def set_aside() -> None:
    """Have the cyclic collector look no more at what there is now: for what stays, and is much.

    With twenty thousand records a whole look takes a tenth of a second, in which polls wait. So
    what is garbage by then is to be collected before much is made.
    """
    gc.freeze()


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the cyclic collector from running: for work that only makes things that stay.

    It looks at all there is again and again while thousands of records are read, and finds nothing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
