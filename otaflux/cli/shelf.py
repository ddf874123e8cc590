"""What stands on the shelf of one device: a row for each tag, its state and why. Pure.

`inventory.py` asks for what is `Seen`; here it is put beside what the device's record knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from otaflux.model.artifact import Listing
from otaflux.model.image import PLAIN
from otaflux.model.names import STABLE, Channel, Tag, is_told
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate

MOVED = "tag moved"  # as the reconciler's own warning has it, which names the old digest


@dataclass(frozen=True, slots=True)
class Row:
    """One tag: its state in a word or two, and why."""

    tag: str
    version: str | None
    state: str
    channels: tuple[str, ...] = ()
    reason: str = ""
    since: str | None = None
    digest: str | None = None
    size: int | None = None
    crc32: int | None = None
    sha256: str | None = None
    chip: str | None = None
    kind: str | None = None
    image_version: str | None = None
    signed_by: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shelf:
    """One device; `problem` says why its tags could not be read, or that it is gone."""

    device: str
    releases: tuple[Row, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the source said of a device: None for its tags where it could not be asked.

    `refused` are versions that a server would refuse too, as far as their manifests say, and why.
    Of `unclear` versions it could not be told, and why; `left` are those that it was not asked
    about, for there are very many.
    """

    listing: Listing | None
    moved: frozenset[Tag] = frozenset()
    problem: str = ""
    refused: Mapping[Tag, str] = field(default_factory=dict)
    unsigned: Mapping[Tag, str] = field(default_factory=dict)
    unclear: Mapping[Tag, str] = field(default_factory=dict)
    left: frozenset[Tag] = frozenset()


def shelf_of(
    record: Record, seen: Seen, channels: Sequence[Channel], judged_by: str, *, where: str
) -> Shelf:
    """One device's rows: versions highest first, then what is no version, then what is withdrawn.

    `where` is what the source is called: the registry, or the embedded folder.
    """
    served = {release.tag for release in record.served()}
    if seen.listing is None:
        listed = {*served, *(v.tag for v in record.verdicts if v.judged_by == judged_by)}
    else:
        listed = set(seen.listing.tags)
    found = choice.candidates(listed | served)
    rows = [
        _row(record, each, channels, judged_by, gone="" if each.tag in listed else where, seen=seen)
        for each in found
    ]
    rows.extend(
        Row(
            each.tag.text,
            None,
            "ignored",
            reason=f"no version; {each.instead} would be one" if each.instead else "no version",
        )
        for each in choice.ignored(listed | served, found)
        if not each.tag.is_attachment
    )
    rows.extend(_withdrawn(record, listed, where))
    return Shelf(record.device.name, tuple(rows), seen.problem)


def _row(
    record: Record,
    candidate: Candidate,
    channels: Sequence[Channel],
    judged_by: str,
    *,
    gone: str,
    seen: Seen,
) -> Row:
    """What stands about one version; `gone` is where its tag is not any more, else empty."""
    tag, version = candidate.tag, candidate.version
    in_channels = tuple(
        name for name, standing in record.channels.items() if standing.release.tag == tag
    )
    release = next((each for each in record.served() if each.tag == tag), None)
    verdict = next((v for v in record.verdicts if v.tag == tag and v.judged_by == judged_by), None)
    reason = verdict.reason if verdict else seen.unsigned.get(tag, "")
    if release and in_channels:
        since = min(record.channels[name].since for name in in_channels)
        moves = tag in seen.moved
        warnings = [each for each in release.warnings if not (moves and MOVED in each)]
        if any(record.channels[name].withdrawn for name in in_channels):
            warnings.append(
                f"withdrawn, told on because DOWNGRADES=never: its tag is gone{_from(gone)}"
            )
        elif gone:
            warnings.append(f"its tag is not in the {gone} any more")
        if moves:
            warnings.append(f"its {MOVED}; these are still the bytes of before{_why(reason)}")
        replaced = any(
            retired.release.tag == tag
            and retired.release.manifest_digest != release.manifest_digest
            for retired in record.retired
        )
        if replaced and not any(MOVED in warning for warning in warnings):
            warnings.append(f"its {MOVED}: boards that ran it before will not notice")
        row = _told(candidate, release, "current", in_channels, since, tuple(warnings))
        return replace(row, signed_by=_signed_by(record, release))
    if verdict:
        return Row(tag.text, version.text, "unusable", reason=reason)
    if release:
        row = _told(candidate, release, "kept", (), None, release.warnings)
        return replace(row, signed_by=_signed_by(record, release))
    if tag in seen.unsigned:
        return Row(tag.text, version.text, "unsigned", reason=seen.unsigned[tag])
    if tag in seen.refused:
        return Row(tag.text, version.text, "unusable", reason=seen.refused[tag])
    return Row(tag.text, version.text, *_untold(record, candidate, channels, seen))


def _from(where: str) -> str:
    return f" from the {where}" if where else ""


def _signed_by(record: Record, release: Release) -> str | None:
    proof = record.proofs.get(release.manifest_digest)
    return proof.text if proof else None


def _why(reason: str) -> str:
    return f", for the new ones are unusable: {reason}" if reason else ""


def _untold(
    record: Record, candidate: Candidate, channels: Sequence[Channel], seen: Seen
) -> tuple[str, tuple[str, ...], str]:
    """State, channels and reason of a version that nobody is told and nobody refused."""
    own = _own_channel(candidate)
    if not is_told(candidate.version, channels):
        return "pre-release", (), f"channel '{own}' is not in CHANNELS"
    if is_below(record, candidate):
        return "older", (), _why_older(record, candidate, seen)
    if candidate.tag in seen.left:
        ask = f"`otaflux verify {record.device}:{candidate.tag}` says whether it is signed"
        return "not tried", (), f"one of very many, so not asked about here: {ask}"
    why = seen.unclear.get(candidate.tag)
    unclear = f"what it is could not be learnt: {why}" if why else ""
    return "not tried", (), unclear or _refused_before(record, candidate)


def _why_older(record: Record, candidate: Candidate, seen: Seen) -> str:
    """What is known of a version below the current one besides that; empty where nothing is."""
    if _is_below_floor(record, candidate):
        return "not told after something higher: DOWNGRADES=never"
    if candidate.tag in seen.unclear:
        return f"whether it is signed could not be learnt: {seen.unclear[candidate.tag]}"
    if any(each.unsigned and each.release.tag == candidate.tag for each in record.retired):
        return "the server found no signature of it that it trusts any more"
    return _refused_before(record, candidate)


def _refused_before(record: Record, candidate: Candidate) -> str:
    """Why a server refused it under what does not hold any more, such as other limits."""
    reasons = (each.reason for each in record.verdicts if each.tag == candidate.tag)
    reason = next(reasons, "")
    return f"refused before, by other limits or another OtaFlux: {reason}" if reason else ""


def is_below(record: Record, candidate: Candidate) -> bool:
    """Whether a version is below what its channel is told, or may be."""
    current = record.current(_own_channel(candidate))
    is_older = current is not None and candidate.order < current.order
    return is_older or _is_below_floor(record, candidate)


def _is_below_floor(record: Record, candidate: Candidate) -> bool:
    floor = record.floor(_own_channel(candidate))
    return floor is not None and candidate.order < floor


def _own_channel(candidate: Candidate) -> Channel:
    return Channel(candidate.version.pre_release or STABLE)


def _told(
    candidate: Candidate,
    release: Release,
    state: str,
    channels: tuple[Channel, ...],
    since: float | None,
    warnings: tuple[str, ...],
) -> Row:
    sums, chip, image = (
        release.firmware.sums,
        release.firmware.chip,
        release.firmware.image or PLAIN,
    )
    return Row(
        candidate.tag.text,
        candidate.version.text,
        state,
        channels,
        since=None if since is None else _time(since),
        digest=str(release.manifest_digest),
        size=sums.size,
        crc32=sums.crc32,
        sha256=sums.sha256,
        chip=chip.family if chip else None,
        kind=image.kind.value,
        image_version=image.version or (chip.version if chip else "") or None,
        warnings=warnings,
    )


def _withdrawn(record: Record, listed: AbstractSet[Tag], where: str) -> Iterable[Row]:
    """What went with its tag; a tag that is there again has a row of its own."""
    for retired in record.retired:
        if retired.withdrawn and retired.release.tag not in listed:
            release = retired.release
            yield Row(
                release.tag.text,
                release.version.text,
                "withdrawn",
                reason=f"its tag is gone from the {where}",
                since=_time(retired.at),
                digest=str(release.manifest_digest),
                size=release.firmware.sums.size,
                crc32=release.firmware.sums.crc32,
                sha256=release.firmware.sums.sha256,
            )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
