"""Which devices there are, by whose word, and which of them may be forgotten.

`DEVICES`, the source's listing, hooks and the embedded folder name a device, and so does its record
in the catalog. A poll names nobody: whoever can reach the device port can ask for any repository.
What only polls found is kept while there is room for it, and whoever was polled longest ago goes
first. On one event loop; nothing here asks a source or touches the disk.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any

from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.state.catalog import Catalog

MOST_FOUND = 1000  # devices that only polls found
ABSENT_FOR = 30.0  # seconds that a device that does not exist is remembered as such
MOST_ABSENT = 10_000  # of those


class Word(StrEnum):
    """Who says that a device is there."""

    DEVICES = "DEVICES"
    LISTING = "listing"
    HOOK = "hook"  # or a change in the embedded folder, which says as much
    CATALOG = "catalog"
    POLL = "poll"


class Roster:
    """The devices, each by the words for it.

    `devices` is what the setting names; at most `most_found` are kept that only polls found. Who
    has to go is touched, and goes with its next run, so that no run writes its record back.
    """

    def __init__(
        self,
        catalog: Catalog,
        touch: Callable[[Touch], Any],
        *,
        devices: frozenset[Device] = frozenset(),
        most_found: int = MOST_FOUND,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._catalog = catalog
        self._touch = touch
        self._devices = devices
        self._most_found = most_found
        self._clock = machine.clock
        self._listed: frozenset[Device] = frozenset()
        self._named: dict[Device, float] = {}  # by hooks, and since when
        self._found: dict[Device, float] = {}  # by polls alone, and when last polled
        self._evicted: set[Device] = set()
        self._absent: OrderedDict[Device, float] = OrderedDict()
        self._heard: list[Callable[[Device], None]] = []
        catalog.listen(self._hear)

    def listen(self, heard: Callable[[Device], None]) -> None:
        """Have `heard(device)` called when a hook names a device, or a record comes to be."""
        self._heard.append(heard)

    def words(self, device: Device) -> frozenset[Word]:
        """By whose word a device is there; empty for one that nobody knows of."""
        record = self._catalog.get(device)
        said = {
            Word.DEVICES: device in self._devices,
            Word.LISTING: device in self._listed,
            Word.HOOK: device in self._named,
            Word.CATALOG: record is not None and not record.found_by_poll,
            Word.POLL: record is not None and record.found_by_poll,
        }
        return frozenset(word for word, holds in said.items() if holds)

    def is_known(self, device: Device) -> bool:
        """Whether anything but a poll names the device."""
        if device in self._devices or device in self._listed or device in self._named:
            return True
        record = self._catalog.get(device)
        return record is not None and not record.found_by_poll

    def is_there(self, device: Device) -> bool:
        """Whether the device is kept up to date, by whatever word."""
        return self.is_known(device) or self._catalog.get(device) is not None

    def devices(self) -> frozenset[Device]:
        """All devices to keep up to date."""
        return self._devices.union(self._listed, self._named, self._catalog.devices())

    def note_listing(self, devices: frozenset[Device]) -> None:
        """The source's listing was read, and names these and no others."""
        self._listed = devices

    def name(self, device: Device) -> None:
        """A hook, or a change in the embedded folder, names the device."""
        if not self.is_known(device):
            self._named[device] = self._clock()
        self._tell(device)

    def polled(self, devices: Collection[Device]) -> None:
        """These devices were asked for just now; of use for those that polls found."""
        now = self._clock()
        for device in devices:
            if device in self._found:
                self._found[device] = now

    def found(self, device: Device) -> None:
        """A poll found one more; who was not asked for the longest time has to go."""
        self.polled((device,))
        staying = [guest for guest in self._found if guest not in self._evicted]
        surplus = max(0, len(staying) - self._most_found)
        for guest in sorted(staying, key=self._found.__getitem__)[:surplus]:
            self.evict(guest)

    def evict(self, device: Device) -> None:
        """A device that only polls found has to go, with its next run."""
        self._evicted.add(device)
        self._touch(Touch(device, Priority.START))

    def is_evicted(self, device: Device) -> bool:
        """Whether a device has to go now; asked once, by its run."""
        if device not in self._evicted:
            return False
        self._evicted.discard(device)
        return device in self._found and not self.is_known(device)

    def note_absent(self, device: Device) -> None:
        """A look found that there is no such device."""
        self._absent[device] = self._clock() + ABSENT_FOR
        self._absent.move_to_end(device)
        if len(self._absent) > MOST_ABSENT:
            self._absent.popitem(last=False)

    def is_absent(self, device: Device) -> bool:
        """Whether a look found a short while ago that there is no such device."""
        until = self._absent.get(device)
        if until is not None and self._clock() >= until:
            del self._absent[device]
            return False
        return until is not None

    def _hear(self, device: Device, record: Record | None) -> None:
        """A record came to be, changed, or went: it holds what was learnt last."""
        self._absent.pop(device, None)
        if record is None or not record.found_by_poll:
            self._found.pop(device, None)
            self._evicted.discard(device)
        elif device not in self._found:
            self._found[device] = self._clock()
        if record is not None:
            self._tell(device)

    def _tell(self, device: Device) -> None:
        for heard in self._heard:
            heard(device)
