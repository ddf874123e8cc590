"""At start: what a crash left is removed, and each record is judged before anyone is told it.

Offline, before the first request: a record counts only for the source and prefix that are set now,
and a release only where its file lies on disk with its size. A damaged record is set aside, to be
built anew from the source. Blocks; for a thread.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import msgspec

from otaflux.errors import DiskFailed, Undecided
from otaflux.files import durable
from otaflux.files.disk import REAL_DISK, Disk, Irregular
from otaflux.log import Event, FoldedBatch
from otaflux.model import floors
from otaflux.model.artifact import Digest
from otaflux.model.names import STABLE, Channel, Device, Namespace, NotServed, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.state.recordfile import MAX_RECORD, BadRecord, read_record
from otaflux.state.store import Store


class Judged(msgspec.Struct, frozen=True):
    """What may be told, and which files somebody still names although nobody is told them."""

    records: tuple[Record, ...]
    elsewhere: frozenset[Digest]
    all_read: bool = True  # else a record may name files that nothing here does
    unwritten: frozenset[Device] = frozenset()  # whose record lies otherwise on the disk
    evicted: Mapping[Device, Mapping[Channel, Tag]] = msgspec.field(default_factory=dict)
    floors_elsewhere: Mapping[Device, Mapping[Channel, Tag]] = msgspec.field(default_factory=dict)


def restore(
    folder: Path,
    store: Store,
    *,
    source: str,
    prefix: str,
    namespace: Namespace,
    channels: Collection[Channel],
    never_fall: bool = False,
    disk: Disk = REAL_DISK,
) -> Judged:
    """Read and judge every record below `folder`; leftovers of a crash go. Blocks.

    Where channels `never_fall`, each has what it is told by its record for its floor, if nothing
    higher is written there; else there are no floors.

    Raises `Undecided` where the folder cannot be written or read.
    """
    # Asked once: it may ask the disk for a login, and there may be very many records.
    namespace = replace(namespace, is_closed=cache(namespace.is_closed))
    told = frozenset({STABLE, *channels})
    durable.make_folder(folder, disk=disk)
    with durable.explained(f"read {folder}"):
        kinds = disk.kinds(folder)
    durable.sweep_temporaries(folder, names=kinds, disk=disk)
    sizes = store.prepare()
    found = _Found(never_fall=never_fall)
    with (
        FoldedBatch(Event.RECORD_DAMAGED, level=logging.ERROR) as damaged,
        FoldedBatch(Event.RECORD_LEFT_OUT) as left_out,
        FoldedBatch(Event.FIRMWARE_MISSING, level=logging.ERROR) as missing,
    ):
        for name, record in _each(folder, kinds, disk, damaged):
            if record is None:
                found.all_read = False
                continue
            reason = _foreign(record, source, prefix, namespace)
            if record.is_bare and not never_fall:
                with suppress(DiskFailed):  # it is passed over at the next start too
                    durable.remove(folder / name, disk=disk)
            elif record.is_bare and not reason:
                found.evicted[record.device] = record.floors
            elif reason:
                left_out.say(device=record.device.name, reason=reason)
                found.put_elsewhere(record)
            else:
                is_whole = _is_whole(record, sizes, told)
                found.put(record if is_whole else _judge(record, sizes, told, missing))
    return found.judged()


@dataclass(slots=True, kw_only=True)
class _Found:
    """What was found so far, by what becomes of it; as `Judged` has it."""

    never_fall: bool
    records: list[Record] = field(default_factory=list)
    elsewhere: set[Digest] = field(default_factory=set)
    unwritten: set[Device] = field(default_factory=set)
    evicted: dict[Device, Mapping[Channel, Tag]] = field(default_factory=dict)
    floors_elsewhere: dict[Device, Mapping[Channel, Tag]] = field(default_factory=dict)
    all_read: bool = True

    def put(self, record: Record) -> None:
        """A record that is told; where its floors lie otherwise on the disk it is written again."""
        kept = floors.kept_to(record, never_fall=self.never_fall)
        self.records.append(kept)
        if kept is not record and kept.floors != record.floors:
            self.unwritten.add(record.device)

    def put_elsewhere(self, record: Record) -> None:
        """A record that is not told with the settings of now; its files stay, and its floors."""
        kept = floors.kept_to(record, never_fall=self.never_fall)
        if kept.floors:
            self.floors_elsewhere[record.device] = kept.floors
        self.elsewhere.update(release.firmware.firmware_digest for release in record.held())

    def judged(self) -> Judged:
        """All of it, as it is handed on."""
        return Judged(
            tuple(self.records),
            frozenset(self.elsewhere),
            self.all_read,
            frozenset(self.unwritten),
            self.evicted,
            self.floors_elsewhere,
        )


def _each(
    folder: Path, kinds: Mapping[str, bool], disk: Disk, damaged: FoldedBatch
) -> Iterator[tuple[str, Record | None]]:
    """Each record with its file's name; None where it may be whole and cannot be read.

    What is damaged is set aside and left out. `kinds` says of each name whether it is a file's.
    """
    whole = _quick_reader(folder, disk)
    for name in sorted([name for name in kinds if name.endswith(".json")]):
        record = whole(name) if kinds[name] else None
        if record is None:
            try:
                record = _read(folder, name, disk, damaged)
            except Undecided as error:
                damaged.say(file=str(folder / name), set_aside=None, reason=str(error))
                yield name, None
                continue
        if record is not None:
            yield name, record


def _quick_reader(folder: Path, disk: Disk) -> Callable[[str], Record | None]:
    """What reads a record quickly where its file is whole; None for any other."""
    read = disk.reader(folder, MAX_RECORD)

    def whole(name: str) -> Record | None:
        try:
            return read_record(read(name), name)
        except (OSError, BadRecord):
            return None

    return whole


def _read(folder: Path, name: str, disk: Disk, damaged: FoldedBatch) -> Record | None:
    """A record's file, read with care; one that is damaged is set aside under another name.

    Raises `Undecided` where the disk does: such a record may be whole.
    """
    try:
        data = durable.read(folder / name, max_bytes=MAX_RECORD, disk=disk)
        return read_record(data, name) if data is not None else None
    except (BadRecord, DiskFailed) as error:
        if isinstance(error, DiskFailed) and not isinstance(error.__cause__, Irregular):
            raise
        path = folder / name
        aside = _set_aside(path, disk)
        damaged.say(file=str(path), set_aside=str(aside), reason=str(error))
    return None


def _set_aside(path: Path, disk: Disk) -> Path:
    """Give what lies in a record's place another name, whatever it is; returns that name."""
    aside = path.with_suffix(".damaged")
    try:
        durable.name(path, aside, synced=True, disk=disk)
    except DiskFailed:  # that name may be a folder's
        aside = path.with_suffix(f".damaged-{secrets.token_hex(4)}")
        durable.name(path, aside, synced=True, disk=disk)
    return aside


def _foreign(record: Record, source: str, prefix: str, namespace: Namespace) -> str:
    """Why a record is not for the settings of now; empty where it is."""
    if record.source != source:
        return f"it was read from {record.source}, and REGISTRY_URL is {source} now"
    if record.prefix != prefix:
        return f"it was read under the prefix '{record.prefix}', which is '{prefix}' now"
    if namespace.serves(record.device):
        return ""
    try:
        namespace.repository(record.device)
    except NotServed as error:
        return str(error)
    return ""


def _is_whole(record: Record, sizes: Mapping[str, int], channels: frozenset[Channel]) -> bool:
    """Whether `_judge` would find nothing to leave out, as of nearly every record."""
    for release in record.held():
        sums = release.firmware.sums
        if sizes.get(sums.sha256) != sums.size:
            return False
    return channels.issuperset(record.channels)


def _judge(
    record: Record,
    sizes: Mapping[str, int],
    channels: frozenset[Channel],
    missing: FoldedBatch,
) -> Record:
    """The record without channels that are not set any more, and releases without their file.

    `sizes` are those of the files that there are.
    """
    there = {
        release
        for release in record.held()
        if sizes.get(release.firmware.sums.sha256) == release.firmware.sums.size
    }

    def whole(release: Release) -> bool:
        if release in there:
            return True
        missing.say(
            device=record.device.name,
            tag=release.tag.text,
            version=release.version.text,
            digest=str(release.firmware.firmware_digest),
            reason="its file is missing or has another size; it is pulled again",
        )
        return False

    standings = {
        channel: standing for channel, standing in record.channels.items() if channel in channels
    }
    asked = len(standings) == len(record.channels)
    record = replace(
        record,
        channels=MappingProxyType(standings),
        retired=tuple(each for each in record.retired if each.release in there),
        ever_synced=record.ever_synced and asked,
    )
    return with_releases(record, whole)


def with_releases(record: Record, is_whole: Callable[[Release], bool]) -> Record:
    """The record with only those releases whose file can be served.

    Where one that is told is missing then, the device counts as never looked at: polls wait for
    the look that pulls it again.
    """
    standings = {
        channel: standing
        for channel, standing in record.channels.items()
        if is_whole(standing.release)
    }
    return replace(
        record,
        channels=MappingProxyType(standings),
        kept=tuple(filter(is_whole, record.kept)),
        retired=tuple(each for each in record.retired if is_whole(each.release)),
        ever_synced=record.ever_synced and len(standings) == len(record.channels),
    )
