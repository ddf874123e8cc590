"""What each device is told, durable: a small JSON file each, named by the SHA-256 of its name.

All on one event loop. A record is on the disk before it is in memory, and listeners hear of it in
the same step in which it is swapped in: no poll sees one without the other. Reading and judging
what lies there at start is `restore.py`'s; writing records is the reconciler's alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, KeysView, Mapping, Sequence
from pathlib import Path

from otaflux.errors import DiskUnsure, Undecided
from otaflux.files import durable
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model import floors
from otaflux.model.artifact import Digest
from otaflux.model.names import Channel, Device, Tag
from otaflux.model.record import REPLACED_LINGERS, Record, Retired, is_within
from otaflux.model.release import Release
from otaflux.state.recordfile import file_name, write_record
from otaflux.state.references import References, files_of

UNCONFIRMED = 24 * 3600  # seconds, at most, that a disk may fail before somebody sees to it
MOST_FLOORS = 10_000  # of devices that were evicted; some 300 bytes each, and a file
ONE_WRITE = 60.0  # seconds: what left within them of the last may have left with the same write

Listener = Callable[[Device, Record | None], None]
AtStart = Callable[[Sequence[Record]], None]
Judge = Callable[[Record], Record]


class Catalog:
    """The records in memory, and their files below `folder`.

    `judge` makes of each record what may be told of it now, which is all that is ever in memory; on
    the disk it stays as it was learnt.
    """

    def __init__(
        self,
        folder: Path,
        *,
        machine: Machine = REAL_MACHINE,
        judge: Judge = lambda record: record,
    ) -> None:
        self._folder = folder
        self._judge = judge
        self._machine = machine
        self._records: dict[Device, Record] = {}
        self._references = References()
        self._told = 0
        self._listeners: list[tuple[Listener, AtStart | None]] = []
        # Files of records that are on the disk or not: their write is under way, or failed.
        self._unsure: dict[Device, frozenset[Digest]] = {}
        self._loaded_at = self._loaded_on = -math.inf  # by `clock`, and by `now`
        # What left with the last write of a record that was loaded, which may be one that the disk
        # never confirmed: until the end of the server before this one it was told.
        self._left_last: dict[Device, frozenset[Release]] = {}
        # Floors of devices without a record: evicted ones, and those of another source or prefix.
        self._evicted: dict[Device, Mapping[Channel, Tag]] = {}
        self._elsewhere: Mapping[Device, Mapping[Channel, Tag]] = {}

    def path(self, device: Device) -> Path:
        """Where a device's record lies, or would."""
        return self._folder / file_name(device)

    def get(self, device: Device) -> Record | None:
        """A device's record; None where the catalog does not know it."""
        return self._records.get(device)

    def devices(self) -> KeysView[Device]:
        """All devices that have a record."""
        return self._records.keys()

    def records(self) -> Iterable[Record]:
        """All records, in no order."""
        return self._records.values()

    def references(self, firmware_digest: Digest) -> bool:
        """Whether any record names that file, in memory or maybe on the disk. From any thread."""
        return firmware_digest in self._references

    @property
    def told(self) -> int:
        """How many devices are told a release, in whatever channel."""
        return self._told

    @property
    def file_count(self) -> int:
        """How many firmware files records in memory name."""
        return len(self._references)

    @property
    def file_bytes(self) -> int:
        """The bytes of these files together."""
        return self._references.size

    def files(self) -> list[Digest]:
        """The firmware files that any record in memory names, in no order."""
        return list(self._references)

    def devices_with(self, firmware_digest: Digest) -> frozenset[Device]:
        """The devices whose record in memory names that file."""
        return frozenset(self._references.devices(firmware_digest))

    def by_digest(self, firmware_digest: Digest) -> Release | None:
        """A release with that content that may be served by its content.

        Current or kept ones, and those that stopped being so within `REPLACED_LINGERS`; after that,
        and for content that nobody names, None.
        """
        for device in self._references.devices(firmware_digest):
            record = self._records[device]
            for release in record.served():
                if release.firmware.firmware_digest == firmware_digest:
                    return release
            for retired in record.retired:
                if (
                    not retired.unsigned
                    and retired.release.firmware.firmware_digest == firmware_digest
                    and self._was_told_lately(device, retired)
                ):
                    return retired.release
        return None

    def _was_told_lately(self, device: Device, retired: Retired) -> bool:
        """Whether devices may have been told it within `REPLACED_LINGERS`."""
        now = self._machine.now()
        if retired.release not in self.lingering(device):
            return is_within(REPLACED_LINGERS, retired.at, now)
        # One that was withdrawn days before the start lies there for people only.
        since_load = max(0.0, now - self._loaded_on)
        return not retired.withdrawn or is_within(since_load + UNCONFIRMED, retired.at, now)

    def lingering(self, device: Device) -> frozenset[Release]:
        """The releases of a device that may have been told until its last server ended.

        What lies on the disk may be a record whose write was not confirmed before that end: its new
        releases were never told, and those that it retired were told until then. So they are told
        by their content for `REPLACED_LINGERS` after a load, whatever the record says.
        """
        if self._machine.clock() >= self._loaded_at + REPLACED_LINGERS:
            self._left_last.clear()
        return self._left_last.get(device, frozenset())

    def listen(self, hear: Listener, *, at_start: AtStart | None = None) -> None:
        """Have `hear(device, record)` called in the step in which a record changes or goes.

        `at_start` is called once instead with all records that a start found, by those for whom
        very many at once are less work.
        """
        self._listeners.append((hear, at_start))

    def floors(self, device: Device) -> Mapping[Channel, Tag]:
        """Below what the channels of a device without a record do not fall."""
        return self._evicted.get(device) or self._elsewhere.get(device) or floors.NONE

    def load_floors(
        self,
        evicted: Mapping[Device, Mapping[Channel, Tag]],
        elsewhere: Mapping[Device, Mapping[Channel, Tag]],
    ) -> None:
        """Take in floors that lie on the disk: of devices that were evicted, and of other sources'.

        Records are loaded after them.
        """
        self._evicted = dict(evicted)
        self._elsewhere = elsewhere

    def load(self, record: Record, *, is_written: bool = True) -> None:
        """Take in a record that lies on the disk already.

        One that `is_written` otherwise there is written with the next `put`.
        """
        self._note_load(record, is_written=is_written)
        self._swap(record.device, record, is_on_disk=is_written)

    def start(self, found: Collection[Record], *, unwritten: Collection[Device] = ()) -> None:
        """Take in all records that lie on the disk; once, before there is any.

        As `load` of each, those but for `unwritten` as they are there.
        """
        if self._records:
            raise RuntimeError("the catalog was started already")
        for record in found:
            if record.retired or unwritten:
                self._note_load(record, is_written=record.device not in unwritten)
        self._note_time()
        records = [self._judge(record) for record in found]
        self._records = {record.device: record for record in records}
        self._told = sum(bool(record.channels) for record in records)
        self._references.load(records)
        for hear, at_start in self._listeners:
            if at_start is not None:
                at_start(records)
            else:
                for record in records:
                    hear(record.device, record)

    def _note_load(self, record: Record, *, is_written: bool) -> None:
        """What has to be known of a record that was loaded, besides what it tells."""
        self._note_time()
        if not is_written:
            self._unsure[record.device] = files = files_of(record)
            self._references.name(files)
        if record.retired:
            self._left_last[record.device] = _left_last(record, self._loaded_on)

    def _note_time(self) -> None:
        self._loaded_at, self._loaded_on = self._machine.clock(), self._machine.now()

    def reserve(self, files: Iterable[Digest]) -> None:
        """Have files count as named that records of other settings name, which are not told."""
        self._references.name(files)

    def lose(self, record: Record) -> None:
        """Tell only this of a record of which files are spoilt; on the disk it stays as it is."""
        self._swap(record.device, record, is_on_disk=False)

    def amend(self, record: Record) -> None:
        """Tell this of a record whose files are the same; the next `put` writes it, or another."""
        if record.device not in self._unsure:
            self._unsure[record.device] = files = files_of(record)
            self._references.name(files)
        self._swap(record.device, record, is_on_disk=False)

    def judge_again(self, device: Device) -> None:
        """Tell of a record what may be told of it now: what `judge` goes by has changed."""
        record = self._records.get(device)
        if record is not None and self._judge(record) is not record:
            self._swap(device, record, is_on_disk=False)

    async def put(self, record: Record) -> frozenset[Digest]:
        """Write a record for good, then tell it; returns which files it names no longer.

        Raises `Undecided`; the old one stands then. Where the disk may hold either, the files of
        both count as named, and the next one is written even if it is the old.
        """
        device = record.device
        old, unsure = self._records.get(device), self._unsure.get(device)
        if record == old and unsure is None:
            return frozenset()
        files = files_of(record)
        before = unsure or frozenset()
        self._references.name(files - before)
        self._unsure[device] = before | files
        try:
            await self._machine.in_thread(
                durable.write, self.path(device), write_record(record), disk=self._machine.disk
            )
        except DiskUnsure:
            raise
        except Undecided:
            self._references.unname(files - before)
            self._unsure.pop(device)
            if unsure is not None:
                self._unsure[device] = unsure
            raise
        self._swap(device, record)
        self._evicted.pop(device, None)
        return (before | files_of(old)) - files

    async def evict(self, device: Device) -> frozenset[Digest]:
        """As `forget`, but for below what its channels do not fall, if anything.

        Of very many devices that were evicted those are forgotten that were so first.
        """
        record = self._records.get(device)
        if record is None or not record.floors:
            return await self.forget(device)
        bare = Record(
            device, record.source, record.prefix, found_by_poll=True, floors=record.floors
        )
        files = await self.put(bare)
        self._swap(device, None)
        self._evicted[device] = bare.floors
        while len(self._evicted) > MOST_FLOORS:
            await self.forget(next(iter(self._evicted)))
        return files

    async def forget(self, device: Device) -> frozenset[Digest]:
        """Remove a device's record for good, then tell it; returns which files it named."""
        machine = self._machine
        await machine.in_thread(durable.remove, self.path(device), disk=machine.disk)
        files = files_of(self._records.get(device)) | self._unsure.get(device, frozenset())
        self._evicted.pop(device, None)
        self._swap(device, None)
        return files

    def _swap(self, device: Device, record: Record | None, *, is_on_disk: bool = True) -> None:
        """Hold a record, or none, and tell it; where the disk has another, its files stay named."""
        record = None if record is None else self._judge(record)
        old = self._records.pop(device, None)
        if record is not None:
            self._records[device] = record
        self._told += _is_told(record) - _is_told(old)
        self._references.change(device, old, record)
        if is_on_disk:
            self._references.unname(self._unsure.pop(device, frozenset()))
        for hear, _ in self._listeners:
            hear(device, record)


def _is_told(record: Record | None) -> bool:
    return record is not None and bool(record.channels)


def _left_last(record: Record, now: float) -> frozenset[Release]:
    """What left with the last write of a record; by a clock that was wrong, too."""
    future = {each for each in record.retired if each.at > now}
    last = max((each.at for each in record.retired if each not in future), default=0.0)
    return frozenset(
        each.release for each in record.retired if each in future or each.at >= last - ONE_WRITE
    )
