"""Devices that nothing but polls ever named: so many are kept, and no more.

Whoever can reach the device port can ask for any repository that has a version. Of those that only
polls found, the one polled longest ago has to go first. It goes in a run of its own, so that no
other run writes its record back. On one event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.state.catalog import Catalog

MOST = 1000  # devices


class Guests:
    """Remembers when each was last polled, and says who has to go where they become too many."""

    def __init__(
        self,
        catalog: Catalog,
        touch: Callable[[Touch], Any],
        *,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._touch = touch
        self._most = most
        self._clock = clock
        self._polled: dict[Device, float] = {}
        self._leaving: set[Device] = set()

    def polled(self, devices: Collection[Device]) -> None:
        """These devices were asked for just now."""
        self._polled.update(dict.fromkeys(devices, self._clock()))

    def found(self, device: Device) -> None:
        """A poll found one more; who was not asked for the longest time is touched, to go."""
        self.polled((device,))
        guests = {r.device for r in self._catalog.records() if r.found_by_poll}
        self._polled = {d: at for d, at in self._polled.items() if self._catalog.get(d)}
        self._leaving &= guests
        staying = sorted(guests - self._leaving, key=lambda d: self._polled.get(d, 0.0))
        for guest in staying[: max(0, len(staying) - self._most)]:
            self.evict(guest)

    def evict(self, device: Device) -> None:
        """A guest has to go, with its next run."""
        self._leaving.add(device)
        self._touch(Touch(device, Priority.START))

    def is_evicted(self, device: Device) -> bool:
        """Whether a device has to go now; asked once, by its run."""
        if device not in self._leaving:
            return False
        self._leaving.discard(device)
        record = self._catalog.get(device)
        return record is not None and record.found_by_poll
