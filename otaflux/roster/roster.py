"""Which devices there are, by whose word, and which of them may be forgotten.

`DEVICES`, the source's listing, hooks and the embedded folder name a device, and so does its record
in the catalog. A poll names nobody: whoever can reach the device port can ask for any repository.
What only polls found is kept while there is room for it, and whoever was polled longest ago goes
first (`evictions.py`). What a hook named and no look ever found goes too, for some registries
guess at names in theirs. On one event loop; nothing here asks a source or touches the disk.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from itertools import chain

from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.state.catalog import Catalog

MOST_FOUND = 1000  # devices that only polls found
MISSED = 3  # re-checks that find nothing before a device is forgotten that never was there
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

    `devices` is what the setting names; at most `most_found` are kept that only polls found.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        devices: frozenset[Device] = frozenset(),
        most_found: int = MOST_FOUND,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._catalog = catalog
        self._devices = devices
        self._most_found = most_found
        self._clock = machine.clock
        self._listed: frozenset[Device] = frozenset()
        self._named: dict[Device, float] = {}  # by hooks, and since when
        self._found: dict[Device, float] = {}  # by polls alone, and when last polled
        self._missed: dict[Device, int] = {}  # re-checks in a row that found nothing
        self._absent: OrderedDict[Device, float] = OrderedDict()
        self._heard: list[Callable[[Device], None]] = []
        catalog.listen(self._hear, at_start=self._hear_start)

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

    def names(self) -> set[str]:
        """The names of all of them: of very many, these cost less than the devices do."""
        every = chain(self._devices, self._listed, self._named, self._catalog.devices())
        return {device.name for device in every}

    def note_listing(self, devices: frozenset[Device]) -> None:
        """The source's listing was read, and names these and no others."""
        self._listed = devices

    def name(self, device: Device) -> None:
        """A hook, or a change in the embedded folder, names the device: it is looked for anew."""
        self._missed.pop(device, None)
        if not self.is_known(device):
            self._named[device] = self._clock()
        self._tell(device)

    def polled(self, devices: Collection[Device]) -> None:
        """These devices were asked for just now; of use for those that polls found."""
        now = self._clock()
        for device in devices:
            if device in self._found:
                self._found[device] = now

    def found_by_polls(self) -> list[Device]:
        """Those that only polls found; who was polled longest ago comes first."""
        return sorted(self._found, key=self._found.__getitem__)

    def surplus(self) -> int:
        """How many of them are more than are kept."""
        return max(0, len(self._found) - self._most_found)

    def looked_for(self, device: Device, priority: Priority, *, found: bool) -> bool:
        """A look asked the source for a device; returns whether it is to be forgotten now.

        So it is after some re-checks that found no repository, or an empty one, where it has no
        release and never had one, and neither the setting nor the listing names it.
        """
        if found or device in self._devices or device in self._listed:
            self._missed.pop(device, None)
            return False
        record = self._catalog.get(device)
        if record is None or priority is not Priority.RECHECK:
            return False
        if record.had_release or any(record.held()):
            return False
        self._missed[device] = self._missed.get(device, 0) + 1
        return self._missed[device] >= MISSED

    def forget(self, device: Device) -> None:
        """A device was forgotten: no hook named it."""
        self._named.pop(device, None)
        self._missed.pop(device, None)

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
        elif device not in self._found:
            self._found[device] = self._clock()
        if record is not None:
            self._tell(device)

    def _hear_start(self, records: Iterable[Record]) -> None:
        """All records that a start found; nothing is known to be absent then."""
        for record in records:
            if record.found_by_poll or self._heard:
                self._hear(record.device, record)

    def _tell(self, device: Device) -> None:
        for heard in self._heard:
            heard(device)
