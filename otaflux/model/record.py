"""What OtaFlux holds of one device: what each channel is told, and why not something else.

A record is a value. Only the reconciler makes a new one; the catalog keeps it and tells those who
listen. Times are seconds since the epoch, for they outlive the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from otaflux.model.artifact import Digest
from otaflux.model.names import STABLE, Channel, Device, Tag
from otaflux.model.proof import SignatureProof
from otaflux.model.release import Release
from otaflux.model.version import Version

# Seconds that a release is still there after it stopped being current or kept: on the disk, by its
# content, and for the downloads of it that were begun.
REPLACED_LINGERS = 15 * 60.0
SET_BACK = 60.0  # seconds that a clock may be set back without more ado


def is_within(seconds: float, at: float, now: float) -> bool:
    """Whether a record's time lies less than so many seconds ago.

    What lies in the future was written by a clock that was wrong, and is old: else a clock that was
    ten years ahead would make it new for ten years. One that is set back a little was right.
    """
    return -SET_BACK <= now - at < seconds


def order_of(tag: Tag) -> tuple[object, ...]:
    """Where a tag that is a version stands among the releases of a device."""
    return (*Version.parse(tag.text).key, tag.text)


@dataclass(frozen=True, slots=True)
class Standing:
    """A channel's current release, since when, and whether it took the place of another.

    A `withdrawn` one is told on from its file though its tag is gone, because channels never fall.
    """

    release: Release
    since: float
    replaced_another: bool = False
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Retired:
    """A release that is neither current nor kept any more, but still on disk.

    `at` is when it stopped. A withdrawn one is served to nobody but who began it before. One whose
    tag `moved` to other bytes is the past of that tag: it is never kept again. One that is
    `unsigned` has no signature any more that is trusted: it is served to nobody.
    """

    release: Release
    at: float
    withdrawn: bool = False
    moved: bool = False
    unsigned: bool = False

    @property
    def may_return(self) -> bool:
        """Whether it may be kept again, should there be room."""
        return not (self.withdrawn or self.moved or self.unsigned)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the bytes of one manifest cannot be served: final while `judged_by` is the same.

    `judged_by` names the limits and the version of OtaFlux that the verdict depends on.
    """

    tag: Tag
    manifest_digest: Digest
    reason: str
    judged_by: str


@dataclass(frozen=True, slots=True)
class Record:
    """One device, as its catalog file has it.

    `source` and `prefix` say which registry and `REPOSITORY_PREFIX` it was read from. `channels`
    has an entry for each channel that has a release, `stable` among them; `kept` are releases below
    those that were pulled before, highest first. `ever_synced` says whether each channel was
    settled at least once, `found_by_poll` that nothing but a poll ever named the device,
    `had_release` that it has or had one. `proofs` say who signed the manifests of its releases,
    of those that were judged.

    `floors` are the tags below which a channel does not fall, also of channels that are not set
    now. A record has them where `DOWNGRADES=never` is set and something was told, else none.
    """

    device: Device
    source: str
    prefix: str = ""
    channels: Mapping[Channel, Standing] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    kept: tuple[Release, ...] = ()
    retired: tuple[Retired, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    ever_synced: bool = False
    found_by_poll: bool = False
    had_release: bool = False
    floors: Mapping[Channel, Tag] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    proofs: Mapping[Digest, SignatureProof] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )

    @property
    def is_bare(self) -> bool:
        """Whether it holds nothing but the floors of a device that was evicted."""
        return bool(self.floors) and self.found_by_poll and not self.ever_synced and not self.held()

    def standing(self, channel: Channel = STABLE) -> Standing | None:
        """What a channel is told; None where nothing is."""
        return self.channels.get(channel)

    def current(self, channel: Channel = STABLE) -> Release | None:
        """The release that a channel is told; None where there is none."""
        standing = self.channels.get(channel)
        return standing.release if standing else None

    def floor(self, channel: Channel) -> tuple[object, ...] | None:
        """The order below which a channel is told nothing, as `Release.order`; None without one.

        A channel that was told nothing of its own yet had the stable answer.
        """
        tag = self.floors.get(channel) or self.floors.get(STABLE)
        return None if tag is None else order_of(tag)

    def served(self) -> tuple[Release, ...]:
        """Every release that a pin may name: the current ones, then the kept, highest first."""
        current = [standing.release for standing in self.channels.values()]
        if len(current) > 1:
            current = list(dict.fromkeys(current))
        return (*current, *self.kept)

    def pinned(self, version: Version) -> Release | None:
        """The served release of exactly that version; of equal ones the settled one."""
        same = [release for release in self.served() if release.version == version]
        return max(same, key=lambda release: release.order, default=None)

    def is_lapsed(self, release: Release) -> bool:
        """Whether its bytes were served once and have no signature that is trusted any more."""
        digest = release.firmware.firmware_digest
        return any(
            left.unsigned and left.release.firmware.firmware_digest == digest
            for left in self.retired
        ) and all(served.firmware.firmware_digest != digest for served in self.served())

    def held(self) -> tuple[Release, ...]:
        """Every release whose file must stay on disk."""
        if not self.retired:
            return self.served()
        return (*self.served(), *[retired.release for retired in self.retired])
