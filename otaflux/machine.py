"""What the program stands on, as one value: disk, threads, clocks, chance.

The simulation and tests bind the same parts in the same way to a machine of their own. Handed over
whole, so that no part has to say which of its services it takes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from otaflux.files.disk import REAL_DISK, Disk
from otaflux.threads import InThread, yielding_threads


@dataclass(frozen=True, slots=True)
class Machine:
    """Disk, threads, clocks and chance.

    `in_thread(work, *arguments)` runs what blocks, `in_yielding_thread` what computes for long, so
    that devices are answered meanwhile. `clock` never goes back and has any beginning,
    `now` is since the epoch and may jump; both in seconds. `chance` spreads waits and guards
    nothing. `sleep` waits so many seconds of `clock`.
    """

    disk: Disk = REAL_DISK
    in_thread: InThread = asyncio.to_thread
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    chance: random.Random = field(default_factory=random.Random)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    in_yielding_thread: InThread = yielding_threads


REAL_MACHINE = Machine()
