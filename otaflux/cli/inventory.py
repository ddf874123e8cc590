"""What is known of each device: its releases, which one is current, and why others are not.

The source is asked for tags, and what `DATA_DIR` knows of them is read; nothing is pulled to find
out more. Where the source cannot be asked, what `DATA_DIR` knows stands alone, and a `problem` says
so. A registry that is away is not asked about each device anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from otaflux.cli import known
from otaflux.errors import Undecided, Unreachable, Unusable
from otaflux.model.artifact import Gone, Listing
from otaflux.model.names import STABLE, Device, Namespace, NotServed, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate
from otaflux.registry.source import Source, Unchanged
from otaflux.settings import Settings

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
    image_version: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shelf:
    """One device; `problem` says why its tags could not be read, or that it is gone."""

    device: str
    releases: tuple[Row, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that was asked for; `problem` says why the source could not be asked for all of it.

    It is the problem of each device then that was not asked for.
    """

    source: str
    problem: str
    devices: tuple[Shelf, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the source said of a device: None for its tags where it could not be asked."""

    listing: Listing | None
    moved: frozenset[Tag] = frozenset()
    problem: str = ""


_NOBODY_KNOWN = (
    "no device is known, and the registry does not list repositories to this account: name them in"
    " DEVICES, or ask for one by its name"
)


async def look(settings: Settings, device: Device | None) -> Inventory:
    """The device, or each one, with what the source and `DATA_DIR` know of it."""
    from otaflux.app import server as app

    namespace, judged_by = app.namespace(settings), app.judged_by(settings)
    problem = away = ""
    async with app.open_source(settings, patient=True) as source:
        records = known.of_source(settings.data_dir, source.name, namespace.prefix)
        names = {device} if device else {*settings.devices, *records}
        if device is None:
            try:
                listed = await source.devices()
                names |= listed or set()
                if listed is None and not names:
                    problem = _NOBODY_KNOWN
                    with suppress(NotServed):
                        await source.tags(known.NOBODY)  # who may not ask at all hears why
            except Unreachable as error:
                problem = away = _unasked(error)
            except Undecided as error:
                problem = f"the list of devices could not be read: {_told_whole(error)}"
            names = {name for name in names if _is_served(namespace, name)}
        places = asyncio.Semaphore(settings.registry_concurrency)

        async def ask(name: Device) -> Shelf:
            nonlocal problem, away
            record = records.get(name) or Record(name, source.name)
            async with places:
                try:
                    seen = None if away else await _ask(source, record, judged_by)
                except Unreachable as error:
                    problem = away = _unasked(error)
                    seen = None
            seen = seen or _unseen(record, judged_by, away)
            return _shelf(record, seen, settings.channels, judged_by)

        shelves = await asyncio.gather(*map(ask, sorted(names)))
    return Inventory(source.name, problem, tuple(shelves))


def _is_served(namespace: Namespace, device: Device) -> bool:
    try:
        namespace.repository(device)
    except NotServed:
        return False
    return True


def _unasked(error: Undecided) -> str:
    return f"the registry could not be asked: {_told_whole(error)}"


def _told_whole(error: Undecided) -> str:
    hint = error.hint[:1].upper() + error.hint[1:]
    return f"{error}. {hint}" if hint else str(error)


async def _ask(source: Source, record: Record, judged_by: str) -> _Seen:
    """What the source says of a device; raises `Unreachable` where it says nothing of any."""
    try:
        listing = await source.tags(record.device)
    except Unreachable:
        raise
    except Undecided as error:
        problem = f"its tags could not be read: {_told_whole(error)}"
        return _unseen(record, judged_by, problem)
    if not listing.repository_known and record.channels:
        problem = (
            "its repository is gone, and devices are still told what it held; to end that,"
            f" stop the server and `otaflux forget {record.device}`"
        )
        return _Seen(listing, problem=problem)
    try:
        return _Seen(listing, await _moved(source, record))
    except Undecided as error:
        return _Seen(listing, problem=f"its tags may have moved: {_told_whole(error)}")


def _unseen(record: Record, judged_by: str, problem: str) -> _Seen:
    """What is known of a device without asking: a verdict on other bytes means that a tag moved."""
    told = {standing.release for standing in record.channels.values()}
    moved = {
        release.tag
        for release in told
        for verdict in record.verdicts
        if (verdict.tag, verdict.judged_by) == (release.tag, judged_by)
        and verdict.manifest_digest != release.manifest_digest
    }
    return _Seen(None, frozenset(moved), problem)


async def _moved(source: Source, record: Record) -> frozenset[Tag]:
    """Tags of current releases that name other bytes by now."""
    moved = set()
    for release in {standing.release for standing in record.channels.values()}:
        digest = release.manifest_digest
        try:
            answer = await source.resolve(release.device, release.tag, known=digest)
        except Unusable:  # of other bytes: those of the release were usable
            moved.add(release.tag)
            continue
        if not isinstance(answer, Unchanged | Gone) and answer.digest != digest:
            moved.add(release.tag)
    return frozenset(moved)


def _shelf(record: Record, seen: _Seen, channels: Sequence[str], judged_by: str) -> Shelf:
    served = {release.tag for release in record.served()}
    if seen.listing is None:
        listed = {*served, *(v.tag for v in record.verdicts if v.judged_by == judged_by)}
    else:
        listed = set(seen.listing.tags)
    found = choice.candidates(listed | served)
    rows = [
        _row(record, each, channels, judged_by, listed=each.tag in listed, moved=seen.moved)
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
    )
    rows.extend(_withdrawn(record))
    return Shelf(record.device.name, tuple(rows), seen.problem)


def _row(
    record: Record,
    candidate: Candidate,
    channels: Sequence[str],
    judged_by: str,
    *,
    listed: bool,
    moved: frozenset[Tag],
) -> Row:
    """What stands about one version."""
    tag, version = candidate.tag, candidate.version
    in_channels = tuple(
        name for name, standing in record.channels.items() if standing.release.tag == tag
    )
    release = next((each for each in record.served() if each.tag == tag), None)
    verdict = next((v for v in record.verdicts if v.tag == tag and v.judged_by == judged_by), None)
    reason = verdict.reason if verdict else ""
    if release and in_channels:
        since = min(record.channels[name].since for name in in_channels)
        warnings = [*release.warnings]
        if not listed:
            warnings.append("its tag is not in the registry any more")
        if tag in moved:
            warnings.append(f"its {MOVED}; these are still the bytes of before{_why(reason)}")
        replaced = any(
            leaving.release.tag == tag
            and leaving.release.manifest_digest != release.manifest_digest
            for leaving in record.retired
        )
        if replaced and not any(MOVED in warning for warning in warnings):
            warnings.append(f"its {MOVED}: boards that ran it before will not notice")
        return _told(candidate, release, "current", in_channels, since, tuple(warnings))
    if verdict:
        return Row(tag.text, version.text, "unusable", reason=reason)
    if release:
        return _told(candidate, release, "kept", (), None, release.warnings)
    return Row(tag.text, version.text, *_untold(record, candidate, channels))


def _why(reason: str) -> str:
    return f", for the new ones are unusable: {reason}" if reason else ""


def _untold(
    record: Record, candidate: Candidate, channels: Sequence[str]
) -> tuple[str, tuple[str, ...], str]:
    """State, channels and reason of a version that nobody is told and nobody refused."""
    own = candidate.version.channel or STABLE
    if own not in {STABLE, *channels}:
        return "pre-release", (), f"channel '{own}' is not in CHANNELS"
    current = record.current(own)
    if current is not None and candidate.order < current.order:
        return "older", (), ""
    return "not tried", (), ""


def _told(
    candidate: Candidate,
    release: Release,
    state: str,
    channels: tuple[str, ...],
    since: float | None,
    warnings: tuple[str, ...],
) -> Row:
    sums, chip = release.firmware.sums, release.firmware.chip
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
        image_version=chip.version or None if chip else None,
        warnings=warnings,
    )


def _withdrawn(record: Record) -> Iterable[Row]:
    for leaving in record.retired:
        if leaving.withdrawn:
            release = leaving.release
            yield Row(
                release.tag.text,
                release.version.text,
                "withdrawn",
                reason="its tag is gone from the registry",
                since=_time(leaving.at),
                digest=str(release.manifest_digest),
                size=release.firmware.sums.size,
                crc32=release.firmware.sums.crc32,
                sha256=release.firmware.sums.sha256,
            )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
