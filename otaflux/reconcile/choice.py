"""Which tags could be current, in which order, and what looks at them settle. Pure.

The reconciler asks `settle` again and again: it answers with the next tag worth a look, or with
what the channel is told. Nothing here asks what was current before, but for two exceptions: while
a moved tag's new bytes cannot be used the old ones stand, and a tag is told until it is known to
be gone. Bytes whose own signature does not hold any more never stand.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TypeGuard, assert_never

import msgspec

from otaflux.errors import BadName
from otaflux.model.artifact import Digest, Gone
from otaflux.model.event import Touch
from otaflux.model.look import AwaitsSignature, HeldBack, Lacking, Look, Unbound, Unfit, Usable
from otaflux.model.names import Channel, Tag
from otaflux.model.proof import SignatureProof
from otaflux.model.record import REPLACED_LINGERS, Record, Retired, Standing, Verdict, is_within
from otaflux.model.release import Release
from otaflux.model.version import Version, meant

MAX_VERDICTS = 1000  # in a record, some 400 bytes each; what is over is judged again each time
MAX_RETIRED = 64  # releases of a device that stay on disk after they left; of withdrawn ones too
MAX_RETIRED_BYTES = 1 << 30  # … and how much they may take together; the last two always stay
_ALWAYS_STAY = 2
WITHDRAWN_LINGERS = 7 * 24 * 3600  # seconds on disk, so that a lost tag can be pushed again


class Candidate(msgspec.Struct, frozen=True):
    """A tag that is a version."""

    tag: Tag
    version: Version

    @property
    def order(self) -> tuple[object, ...]:
        """Sorts candidates as releases sort: version, build identifiers, the tag's text."""
        return (*self.version.key, self.tag.text)


class NoVersion(msgspec.Struct, frozen=True):
    """A tag that is no version; `instead` is what would have counted, if one was meant."""

    tag: Tag
    instead: Version | None


class LookAt(msgspec.Struct, frozen=True):
    """The next tag that has to be looked at before the channel is settled."""

    candidate: Candidate


class Stands(msgspec.Struct, frozen=True):
    """The channel is told this release."""

    release: Release


class Nothing(msgspec.Struct, frozen=True):
    """The channel has no release."""


Step = LookAt | Stands | Nothing


def candidates(tags: Iterable[Tag]) -> tuple[Candidate, ...]:
    """Tags that are versions, highest first; the same for every order of tags.

    Takes some 5 µs for each: of very many it is for a thread.
    """
    found: list[Candidate] = []
    for tag in frozenset(tags):
        with suppress(BadName):
            found.append(Candidate(tag, Version.parse(tag.text)))
    found.sort(key=lambda candidate: candidate.order, reverse=True)
    return tuple(found)


def ignored(tags: Iterable[Tag], found: Iterable[Candidate]) -> tuple[NoVersion, ...]:
    """The tags that are none of the candidates found among them, by their text."""
    left = frozenset(tags) - {candidate.tag for candidate in found}
    return tuple(NoVersion(tag, meant(tag.text)) for tag in sorted(left))


def of_channel(found: Iterable[Candidate], channel: Channel) -> tuple[Candidate, ...]:
    """Those that a channel takes, in their order."""
    return tuple(each for each in found if channel.takes(each.version))


def above(
    candidates: Iterable[Candidate], floor: tuple[object, ...] | None
) -> tuple[Candidate, ...]:
    """The candidates that a channel with that floor may be told, in their order."""
    return tuple(each for each in candidates if floor is None or each.order >= floor)


def settle(
    found: Iterable[Candidate],
    looks: Mapping[Tag, Look],
    told: Release | None,
    gone: Collection[Tag],
) -> Step:
    """What a channel's candidates, highest first, and the looks so far come to.

    `told` is the channel's current release, `gone` are the tags that are known to be withdrawn.
    """
    for candidate in found:
        if candidate.tag in gone:
            continue
        look = looks.get(candidate.tag)
        match look:
            case None:
                return LookAt(candidate)
            case Usable(release):
                return Stands(release)
            case AwaitsSignature(digest) | Unbound(digest):
                if _moved_from(told, candidate.tag, digest):
                    return Stands(told)
            case Unfit() | Lacking() | HeldBack() | Gone():
                if told is not None and told.tag == candidate.tag:
                    return Stands(told)
            case _:
                assert_never(look)
    return Nothing()


def _moved_from(told: Release | None, tag: Tag, digest: Digest) -> TypeGuard[Release]:
    """Whether the channel's release is of other bytes than its tag stands for now."""
    return told is not None and told.tag == tag and told.manifest_digest != digest


def stand(
    record: Record,
    channel: Channel,
    release: Release | None,
    now: float,
    *,
    withdrawn: bool = False,
) -> Record:
    """The record with a channel settled; what it was told before is retired until `keep`.

    `withdrawn` says that it is told on though its tag is gone.
    """
    before = record.standing(channel)
    channels = dict(record.channels)
    if release is None:
        channels.pop(channel, None)
    elif before is None or _differ(before.release, release):
        channels[channel] = Standing(release, now, before is not None, withdrawn)
    else:
        channels[channel] = replace(before, release=release, withdrawn=withdrawn)
    retired = tuple(x for x in record.retired if x.release != release)
    kept = tuple(x for x in record.kept if x != release)
    if before is not None and before.release != release:
        retired = (*(x for x in retired if x.release != before.release),)
        retired += (Retired(before.release, now, withdrawn=before.withdrawn),)
    return replace(record, channels=MappingProxyType(channels), retired=retired, kept=kept)


def keep(
    record: Record,
    *,
    most: int,
    gone: Collection[Tag],
    moved: Collection[Release],
    now: float,
    unsure: Collection[Release] = (),
    lingering: Collection[Release] = (),
    lapsed: Collection[tuple[Tag, Digest]] = (),
) -> Record:
    """The record with its kept and retired releases sorted out.

    Kept are the `most` highest that were pulled before, below the current ones; not those whose
    tag is `gone`, nor the old bytes of a `moved` tag, whatever becomes of that tag afterwards, nor
    those that left earlier and are `unsure`: nobody asked what their tags stand for now, nor those
    whose signature has `lapsed`, by tag and manifest. The others stay on disk for a while, and the
    `lingering` ones until further notice.
    """
    current = {standing.release for standing in record.channels.values()}
    taken = {release.tag for release in current}
    highest = max((release.order for release in current), default=())
    left = {x.release: x for x in record.retired if x.release not in current}
    pool = {release for release in (*record.kept, *left) if release not in current}
    judged = {verdict.tag: verdict.manifest_digest for verdict in record.verdicts}
    moved = {
        x for x in pool if x in moved or judged.get(x.tag, x.manifest_digest) != x.manifest_digest
    }
    able = [
        release
        for release in pool
        if release.tag not in gone
        and release not in moved
        and release not in unsure
        and release.tag not in taken
        and release.order < highest
        and not _is_lapsed(release, lapsed)
        and not (release in left and not left[release].may_return)
    ]
    kept: dict[Tag, Release] = {}
    # Of two with one tag the newer bytes are kept: those kept already, else those that left last.
    for release in sorted(able, key=lambda r: (r.order, _since(r, left)), reverse=True):
        if len(kept) < most:
            kept.setdefault(release.tag, release)
    # What goes with a tag is what it stood for last, and not the old bytes of one that moved.
    last: dict[Tag, float] = {}
    for release in pool | current:
        last[release.tag] = max(last.get(release.tag, 0.0), _since(release, left))
    retired: list[Retired] = []
    for release in sorted(pool - set(kept.values()), key=lambda each: each.order):
        was = left.get(release)
        withdrawn = release.tag in gone and _since(release, left) == last[release.tag]
        has_moved = release in moved or (was is not None and was.moved)
        unsigned = _is_lapsed(release, lapsed) or (was is not None and was.unsigned)
        entry = Retired(release, was.at if was else now, withdrawn, has_moved, unsigned)
        if was is not None and was.withdrawn:
            entry = replace(was, unsigned=unsigned)
        lingers = WITHDRAWN_LINGERS if entry.withdrawn else REPLACED_LINGERS
        if release in lingering or is_within(lingers, entry.at, now):
            retired.append(entry)
    return replace(record, kept=tuple(kept.values()), retired=_newest(retired))


def _newest(retired: Iterable[Retired]) -> tuple[Retired, ...]:
    """Those of the releases that left for which there is room: of each kind, who left last.

    Whoever pushes hundreds of releases within minutes must not fill disk and catalog with them.
    """
    stay: set[Retired] = set()
    for withdrawn in (False, True):
        size = 0
        kind = [each for each in retired if each.withdrawn is withdrawn]
        kind.sort(key=lambda each: (each.at, each.release.order), reverse=True)
        for count, each in enumerate(kind, 1):
            size += each.release.firmware.sums.size
            if count <= _ALWAYS_STAY or (count <= MAX_RETIRED and size <= MAX_RETIRED_BYTES):
                stay.add(each)
    return tuple(each for each in retired if each in stay)


def is_ahead(
    touch: Touch,
    looks: Mapping[Tag, Look],
    digests: Mapping[Tag, Digest],
    settled: Collection[Tag],
) -> bool:
    """Whether the hooks of a touch may be ahead of the registry, behind replication say.

    Either a tag that they name is not there, and not `settled` (served, or known to be gone), or it
    is another digest than they said: docker-registry sends its hook before it moves the tag.
    """
    absent = (tag for tag in touch.tags if isinstance(looks.get(tag), Gone))
    return any(tag not in settled for tag in absent) or any(
        digests.get(tag, said) != said for tag, said in touch.claimed
    )


def without_lapsed(record: Record, lapsed: Collection[tuple[Tag, Digest]], now: float) -> Record:
    """The record in which no channel is told what has no signature any more, settled or not."""
    for channel, standing in record.channels.items():
        if _is_lapsed(standing.release, lapsed):
            record = stand(record, channel, None, now)
    return record


def with_proof(record: Record, digest: Digest, proof: SignatureProof | None) -> Record:
    """The record with what was found of who signed a manifest; None where nobody has to.

    Then what was found before goes: the tag that is told now was not held against it.
    """
    if record.proofs.get(digest) == proof:
        return record
    proofs = {key: known for key, known in record.proofs.items() if key != digest}
    if proof is not None:
        proofs[digest] = proof
    return replace(record, proofs=MappingProxyType(proofs))


def only_held(record: Record) -> Record:
    """The record with proofs of what it holds, and no others."""
    held = {release.manifest_digest for release in record.held()}
    if record.proofs.keys() <= held:
        return record
    proofs = {digest: proof for digest, proof in record.proofs.items() if digest in held}
    return replace(record, proofs=MappingProxyType(proofs))


def judge(record: Record, verdict: Verdict, there: Collection[Tag]) -> Record:
    """The record with one more verdict, in the place of an older one on the same tag.

    Where there are too many, those on tags that are not `there` any more go, then the last.
    """
    if verdict in record.verdicts:
        return record
    verdicts = (*(each for each in record.verdicts if each.tag != verdict.tag), verdict)
    if len(verdicts) > MAX_VERDICTS:
        verdicts = tuple(each for each in verdicts if each.tag in there or each.tag == verdict.tag)[
            :MAX_VERDICTS
        ]
    return replace(record, verdicts=verdicts)


def acquit(record: Record, tag: Tag) -> Record:
    """The record without a verdict on what the tag stood for before."""
    left = tuple(verdict for verdict in record.verdicts if verdict.tag != tag)
    return record if len(left) == len(record.verdicts) else replace(record, verdicts=left)


def _is_lapsed(release: Release, lapsed: Collection[tuple[Tag, Digest]]) -> bool:
    return (release.tag, release.manifest_digest) in lapsed


def _since(release: Release, left: Mapping[Release, Retired]) -> float:
    return left[release].at if release in left else math.inf


def _differ(before: Release, after: Release) -> bool:
    """Whether devices would be told something else, or get other bytes."""
    return (before.tag, before.manifest_digest, before.firmware.sums) != (
        after.tag,
        after.manifest_digest,
        after.firmware.sums,
    )
