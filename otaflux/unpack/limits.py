"""How much one artifact may cost: bytes that come out, and things that have to be looked at.

Bytes alone are no measure of the work: a tar of a million empty files, or a zstd frame of a million
empty blocks, is small on the wire and on the disk. So everything that costs a step of its own
is counted, over all layers and packings of the artifact together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import msgspec

from otaflux.errors import Undecided, Unusable

# Bytes: any image for a microcontroller, whose protocols compare these sums, is smaller.
SUMMED_AT_ONCE = 8 << 20
LONG_WINDOW = 8 << 20  # bytes of a zstd window; what is longer is had by one stream at a time
LONG_WINDOW_WAIT = 20.0  # seconds for that place, then the pull is tried again later


class Limits(msgspec.Struct, frozen=True):
    """Bytes: of the firmware, and of all that is unpacked on the way to it.

    MD5 and SHA-1 of firmware above `summed_at_once` are left to be computed from its file.
    """

    max_firmware: int
    max_unpacked: int
    summed_at_once: int = SUMMED_AT_ONCE


class Step(Enum):
    """What is counted, how many there may be, and what it is called.

    Each is far above what a build makes, and costs less than a second in all.
    """

    ENTRY = (100_000, "entries in its tars")
    RECORD = (500_000, "pax records in its tars")
    MEMBER = (100_000, "gzip members and zstd frames")
    LONG_WINDOW = (1_000, "zstd frames with windows above 8 MiB")
    BLOCK = (250_000, "zstd blocks")

    def __init__(self, most: int, words: str) -> None:
        self.most = most
        self.words = words


class LongWindows:
    """The one place for zstd streams with a long window, which take it all in memory.

    For any number of threads. `wait` is in seconds.
    """

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._place = threading.Lock()

    @property
    def is_taken(self) -> bool:
        """Whether somebody has the place."""
        return self._place.locked()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Have the place; raises `Undecided` where others have it for longer than the wait."""
        if not self._place.acquire(timeout=self._wait):
            raise Undecided(
                "Other firmware with a long zstd window is being unpacked",
                hint="It is tried again; packed without --long it would not have to wait",
            )
        try:
            yield
        finally:
            self._place.release()


LONG_WINDOWS = LongWindows(LONG_WINDOW_WAIT)  # the process's


class Budget:
    """What is left of the limits. One that was passed stays passed: `check` raises it again."""

    def __init__(
        self,
        limits: Limits,
        long_windows: LongWindows,
        on_window: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.on_window = on_window
        self._limits = limits
        self._long_windows = long_windows
        self._has_long_window = False
        self._unpacked = 0
        self._steps = dict.fromkeys(Step, 0)
        self._passed: Unusable | None = None

    def spend(self, size: int) -> None:
        """Count bytes that came out of a packing; raises `Unusable` once they are too many."""
        self._unpacked += size
        if self._unpacked > self._limits.max_unpacked:
            self._pass(
                f"It unpacks to more than {self._limits.max_unpacked} bytes, four times"
                " MAX_FIRMWARE_SIZE: pack less into it, or raise MAX_FIRMWARE_SIZE"
            )

    def count(self, step: Step) -> None:
        """Count something that takes a step; raises `Unusable` once there are too many."""
        self._steps[step] += 1
        if self._steps[step] > step.most:
            self._pass(f"It has more than {step.most} {step.words}, which no firmware needs")

    @contextmanager
    def long_window(self) -> Iterator[None]:
        """Have the place for long windows; raises `Unusable` where this artifact has it already."""
        if self._has_long_window:  # waiting for ourselves would never end
            raise Unusable("It has zstd data with long windows inside each other: pack it once")
        with self._long_windows.place():
            self._has_long_window = True
            try:
                yield
            finally:
                self._has_long_window = False

    def _pass(self, message: str) -> None:
        self._passed = Unusable(message)
        raise self._passed

    def check(self) -> None:
        """Raise what was passed before, if anything was."""
        if self._passed is not None:
            raise self._passed
