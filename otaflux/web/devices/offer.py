"""What a client is told: the one decision that every answer to a device rests on.

Pure. Whoever tells a device of a release, by text, by manifest, by a download or by remembering
one, asks `offer`; what holds a download together (`continuity.py`) may put an older release in its
place, and nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from otaflux.errors import BadName, Busy, NotFound, NothingHigher
from otaflux.model.names import STABLE, Channel, Device
from otaflux.model.record import Record, Standing, is_within
from otaflux.model.release import Release
from otaflux.model.version import Version

RETRY_AFTER = 5.0  # seconds; who asks before all channels were looked at
FRESH = 30 * 60.0  # seconds; what replaced another within this may meet boards amid the old one


class Unit(msgspec.Struct, frozen=True, gc=False):
    """One board, as far as it says: its name, and the version and MD5 of what it runs."""

    name: str = ""
    version: str = ""
    md5: str = ""

    def runs_above(self, release: Release) -> bool:
        """Whether it says that it runs more than this release; a version that is none says nothing.

        Build identifiers count where both name some: builds put commits there that tags lack.
        """
        try:
            runs = Version.parse(self.version)
        except BadName:
            return False
        mine, theirs = runs.key, release.version.key
        return mine > theirs if mine[-1] and theirs[-1] else mine[:-1] > theirs[:-1]

    def runs(self, release: Release) -> bool:
        """Whether it says that it runs this release; a version that is none says nothing."""
        return self.md5 == release.firmware.sums.md5 or _is(self.version, release.version)


NOBODY = Unit()


@dataclass(frozen=True, slots=True)
class Offer:
    """The release that a unit is told.

    `replaced_lately` says that boards may still be amid the download of the one before it.
    """

    release: Release
    unit: Unit = NOBODY
    replaced_lately: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether the unit says that it runs this already."""
        return self.unit.runs(self.release)


def offer(
    record: Record | None, channel: Channel, unit: Unit, now: float, *, pin: Version | None = None
) -> Offer | None:
    """What a unit that asks for a channel is told; None where there is nothing for it.

    A channel that has nothing of its own yet has the stable answer. A `pin` names exactly one of
    the releases that are served. Where channels never fall (the record has floors then), no unit is
    told less than it says it runs. `now` is in seconds since the epoch, as the record's times are,
    so that what was replaced lately is known after a restart too.
    """
    if record is None:
        return None
    if pin is not None:
        pinned = record.pinned(pin)
        if pinned is None or lowers(record, pinned, unit):
            return None
        return Offer(pinned, unit)
    standing = record.standing(channel) or _stable_for(record, channel)
    if standing is None or lowers(record, standing.release, unit):
        return None
    return Offer(standing.release, unit, _replaced_lately(record, standing, now))


def lowers(record: Record, release: Release, unit: Unit) -> bool:
    """Whether a unit is not told a release because it says that it runs more."""
    return bool(record.floors) and unit.runs_above(release)


def nothing_for(device: Device, pin: Version | None = None) -> NotFound:
    """The refusal for a device that has no firmware here, or none in the version asked for."""
    which = f" in version {pin}" if pin is not None else ""
    return NotFound(f"No firmware for device '{device}'{which}")


def nothing_in(record: Record, pin: Version | None = None, unit: Unit = NOBODY) -> NotFound | Busy:
    """Why a record has nothing for who asks: there is nothing, or it is not known yet.

    `NothingHigher` where the unit says what it runs, and nobody is told less than that.
    """
    if record.floors and unit.version:
        return NothingHigher(str(nothing_for(record.device, pin)))
    if record.ever_synced:
        return nothing_for(record.device, pin)
    return Busy(
        f"What device '{record.device}' is told is not settled yet", retry_after=RETRY_AFTER
    )


def same_content(one: Release | None, other: Release | None) -> bool:
    """Whether two releases are the same bytes."""
    return (
        one is not None
        and other is not None
        and one.firmware.sums.sha256 == other.firmware.sums.sha256
    )


def _stable_for(record: Record, channel: Channel) -> Standing | None:
    """The stable answer, for a channel that has none of its own; unless that were a fall."""
    standing, floor = record.standing(STABLE), record.floor(channel)
    if standing is not None and floor is not None and standing.release.order < floor:
        return None
    return standing


def _replaced_lately(record: Record, standing: Standing, now: float) -> bool:
    """Whether boards may be amid the download of what this release took the place of.

    A release that was withdrawn before it without a successor counts as replaced too.
    """
    if not is_within(FRESH, standing.since, now):
        return False
    age = max(0.0, now - standing.since)
    return standing.replaced_another or any(
        is_within(age + FRESH, retired.at, now) for retired in record.retired
    )


def _is(text: str, version: Version) -> bool:
    try:
        return Version.parse(text) == version
    except BadName:
        return False
