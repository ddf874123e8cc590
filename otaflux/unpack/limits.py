"""How much one artifact may cost: bytes that come out, and things that have to be looked at.

Bytes alone are no measure of the work: a tar of a million empty files, or a zstd frame of a million
empty blocks, is small on the wire and on the disk. So everything that costs a step of its own
is counted, over all layers and packings of the artifact together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from otaflux.errors import Unusable


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes: of the firmware, and of all that is unpacked on the way to it."""

    max_firmware: int
    max_unpacked: int


class Step(Enum):
    """What is counted, how many there may be, and what it is called.

    Each is far above what a build makes, and costs less than a second in all.
    """

    ENTRY = (100_000, "entries in its tars")
    RECORD = (500_000, "pax records in its tars")
    MEMBER = (100_000, "gzip members and zstd frames")
    BLOCK = (250_000, "zstd blocks")

    def __init__(self, most: int, words: str) -> None:
        self.most = most
        self.words = words


class Budget:
    """What is left of the limits. One that was passed stays passed: `check` raises it again."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.long_window_open = False
        self._unpacked = 0
        self._steps = dict.fromkeys(Step, 0)
        self._passed: Unusable | None = None

    def spend(self, size: int) -> None:
        """Count bytes that came out of a packing; raises `Unusable` once they are too many."""
        self._unpacked += size
        if self._unpacked > self.limits.max_unpacked:
            self._pass(
                f"It unpacks to more than {self.limits.max_unpacked} bytes, four times"
                " MAX_FIRMWARE_SIZE: pack less into it, or raise MAX_FIRMWARE_SIZE"
            )

    def count(self, step: Step) -> None:
        """Count something that takes a step; raises `Unusable` once there are too many."""
        self._steps[step] += 1
        if self._steps[step] > step.most:
            self._pass(f"It has more than {step.most} {step.words}, which no firmware needs")

    def _pass(self, message: str) -> None:
        self._passed = Unusable(message)
        raise self._passed

    def check(self) -> None:
        """Raise what was passed before, if anything was."""
        if self._passed is not None:
            raise self._passed
