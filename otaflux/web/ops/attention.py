"""What is wrong with which devices, and what to do about it.

A device's faults are decided anew whenever something happens to it, and those that are alike are
kept together, so that a registry that refuses twenty thousand devices is one thing that is wrong.
On one event loop; what a change costs does not depend on how many devices there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any

import msgspec

from otaflux.errors import BadName
from otaflux.journal import Journal, Notes, Refusal
from otaflux.model.names import Device
from otaflux.model.record import Record, Standing
from otaflux.model.version import Version
from otaflux.state.catalog import Catalog

MEND = "Correct what the reason says, and push it again or a higher version"
NOTHING = (
    "Push a release, such as `otaflux push DEVICE:1.0.0 FILE`; if there is one, does"
    " REPOSITORY_PREFIX fit, and is its tag a version?"
)
LEFT_ALONE = "Add it to DEVICES, or set REPOSITORY_PREFIX"
LOOPING = (
    "Its image says another version than its tag, or the board goes back after it starts: build"
    " the image again with the version of its tag in it, and push it under a higher version"
)
ODD = (
    "If the tag was moved, push a higher version, so that boards notice; else build the image"
    " again with the version of its tag in it, and push it under a higher version"
)
SHOWN = "…"  # stands for the device's name in what is alike


class FaultKind(IntEnum):
    """What may be wrong, the worst first."""

    FAILING = 0
    REFUSED = 1
    LOOPING = 2
    NOTHING = 3
    LEFT_ALONE = 4
    ODD = 5
    NOBODY = 6


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with one device; `since` is seconds since the epoch, or None."""

    kind: FaultKind
    reason: str
    hint: str
    tag: str = ""
    since: float | None = None


class Group(msgspec.Struct, frozen=True):
    """The same fault of `count` devices, of which one is `example`."""

    fault: Fault
    example: Device
    count: int


class Attention:
    """Keeps what is wrong; `changed` is for the journal."""

    def __init__(self, catalog: Catalog, journal: Journal) -> None:
        self._catalog = catalog
        self._journal = journal
        self._faults: dict[Device, tuple[Fault, ...]] = {}
        self._alike: dict[tuple[FaultKind, str], dict[Device, Fault]] = {}
        journal.listen(self.changed, at_start=self.hear_start)  # it hears of records too

    def __len__(self) -> int:
        """How many devices something is wrong with."""
        return len(self._faults)

    def of(self, device: Device) -> tuple[Fault, ...]:
        """What is wrong with a device, the worst first."""
        return self._faults.get(device, ())

    def devices(self) -> Iterator[Device]:
        """Those that something is wrong with, in no order."""
        return iter(self._faults)

    def count(self, kind: FaultKind) -> int:
        """How many devices have a fault of that kind; one with two of them counts twice."""
        return sum(len(alike) for (of, _), alike in self._alike.items() if of is kind)

    def groups(self, most: int) -> list[Group]:
        """What is wrong, the worst and most common first, at most so many."""
        order = sorted(self._alike.items(), key=lambda item: (item[0][0], -len(item[1])))
        found = []
        for _, alike in order[:most]:
            device, fault = next(iter(alike.items()))
            found.append(Group(fault, device, len(alike)))
        return found

    def hear_start(self, records: Iterable[Record]) -> None:
        """As `changed`, of all records that a start found; what happened before is heard too."""
        for record in records:
            if not _is_plain(record):
                self.changed(record.device)
        for device in self._journal.noted():
            self.changed(device)

    def changed(self, device: Device) -> None:
        """Something happened to a device: decide anew."""
        for fault in self._faults.pop(device, ()):
            alike = self._alike[_key(device, fault)]
            alike.pop(device, None)
            if not alike:
                del self._alike[_key(device, fault)]
        faults = tuple(faults_of(self._catalog.get(device), self._journal.of(device)))
        for fault in faults:
            self._alike.setdefault(_key(device, fault), {})[device] = fault
        if faults:
            self._faults[device] = faults


def _key(device: Device, fault: Fault) -> tuple[FaultKind, str]:
    return fault.kind, fault.reason.replace(device.name, SHOWN).replace(fault.tag or SHOWN, SHOWN)


def faults_of(record: Record | None, notes: Notes) -> Iterator[Fault]:
    """What is wrong with a device, by its record and what is remembered of it; worst first."""
    trouble = notes.trouble
    if trouble is not None:
        yield Fault(FaultKind.FAILING, trouble.reason, trouble.hint, trouble.tag, trouble.since)
    refused = refused_of(record, notes)
    if refused is not None and is_above(record, refused.version):
        since = refused.at or None
        yield Fault(FaultKind.REFUSED, refused.reason, MEND, refused.tag, since)
    for looping in notes.looping.values():
        yield Fault(FaultKind.LOOPING, looping.text, LOOPING, looping.tag, looping.at)
    if notes.is_left_alone:
        yield Fault(FaultKind.LEFT_ALONE, notes.is_left_alone, LEFT_ALONE)
    elif record is not None and has_nothing(record) and refused is None and trouble is None:
        yield Fault(FaultKind.NOTHING, "there is no release that devices could be told", NOTHING)
    current = record.current() if record is not None else None
    for warning in current.warnings if current is not None else ():
        yield Fault(FaultKind.ODD, warning, ODD, current.tag.text if current else "")


def _is_plain(record: Record) -> bool:
    """Whether a record says of itself that nothing is wrong, as nearly every one does."""
    current = record.current()
    return current is not None and not current.warnings and not record.verdicts


def has_nothing(record: Record) -> bool:
    """Whether a device that somebody named was looked at, and there is nothing to tell it."""
    return record.ever_synced and not record.channels and not record.found_by_poll


def refused_of(record: Record | None, notes: Notes) -> Refusal | None:
    """The release that was refused last: of this life of the server, else the highest on disk."""
    if notes.refused:
        return next(reversed(notes.refused.values()))
    return next(iter(verdicts_of(record)), None)


def verdicts_of(record: Record | None) -> list[Refusal]:
    """The releases whose bytes can never be served, as the record has them; highest first."""
    if record is None or not record.verdicts:
        return []
    verdicts = [
        Refusal(0.0, each.tag.text, each.tag.text, str(each.manifest_digest), each.reason)
        for each in record.verdicts
    ]
    return sorted(verdicts, key=lambda each: _order(each.version), reverse=True)


def all_refused(record: Record | None, notes: Notes) -> list[tuple[Refusal, bool]]:
    """Each release that cannot be served, of the disk and of memory, and whether that is final.

    Only other bytes mend what is final. The same in both is there once, as it was heard last.
    """
    final = {(each.tag, each.digest): each for each in verdicts_of(record)}
    heard = {(each.tag, each.digest): each for each in notes.refused.values()}
    return [(refused, key in final) for key, refused in (final | heard).items()]


def signers_of(record: Record | None, standing: Standing) -> str:
    """Who signed what a channel is told, in words; empty where nobody had to, or did."""
    proof = record.proofs.get(standing.release.manifest_digest) if record is not None else None
    return proof.text if proof is not None else ""


def is_above(record: Record | None, version: str) -> bool:
    """Whether a version is above what its channel is told, so that boards wait for it."""
    try:
        wanted = Version.parse(version)
    except BadName:
        return False
    told = [
        standing.release.version
        for channel, standing in (record.channels.items() if record is not None else ())
        if channel.takes(wanted)
    ]
    return not told or any(wanted.key > each.key for each in told)


def _order(text: str) -> tuple[Any, ...]:
    try:
        return (1, Version.parse(text).key)
    except BadName:
        return (0, ())
