"""Which units take the same release again and again: it never arrives, or its version lies.

The most common fault of small fleets: the version built into an image is not that of its tag, so
the board asks again after it started. Only units that name themselves are counted, for many may
share an address. An observer of requests, see `web/observer.py`; on the event loop. Memory is
bounded: of the units that took anything, the one that did so longest ago is forgotten first.
"""

from __future__ import annotations

from collections.abc import Mapping

from otaflux.boundedmap import BoundedMap
from otaflux.events import Events, UnitLooping
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import Digest
from otaflux.model.names import Device
from otaflux.model.release import Release

MOST_UNITS = 20_000  # some 400 bytes each
OFTEN = 3  # times
DAY = 24 * 3600.0  # seconds


class Takes:
    """Counts who took what; `events` hears of each time that makes it too often."""

    def __init__(
        self, events: Events, *, most_units: int = MOST_UNITS, machine: Machine = REAL_MACHINE
    ) -> None:
        self._events = events
        self._clock = machine.clock
        self._taken: BoundedMap[tuple[Device, str], tuple[Digest, tuple[float, ...]]] = BoundedMap(
            most_units
        )

    def download(self, release: Release, unit: str, *, whole: bool, last: bool) -> None:
        """A release was sent up to its `last` byte, or something else was."""
        if not (unit and whole and last):
            return
        key, now = (release.device, unit), self._clock()
        digest, times = self._taken.get(key) or (release.manifest_digest, ())
        if digest != release.manifest_digest:
            times = ()
        times = (*(at for at in times if now - at < DAY), now)[-100:]
        self._taken.put(key, (release.manifest_digest, times))
        if len(times) >= OFTEN:
            self._events.tell(UnitLooping(release, unit, len(times)))

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Nothing."""

    def lookup(self, device: Device, *, hit: bool) -> None:
        """Nothing."""

    def poll(self, device: Device, runs: str) -> None:
        """Nothing."""

    def quick(self, answered: Mapping[tuple[Device, int], int]) -> None:
        """Nothing."""

    def said(self, versions: Mapping[tuple[Device, str], int]) -> None:
        """Nothing."""
