"""`otaflux list`: the releases of each device, which one is current, and why others are not.

It asks the source for tags and reads what `DATA_DIR` knows of them. What no server ever tried is
`not tried`; nothing is pulled to find out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import click

from otaflux import choice
from otaflux.choice import Candidate
from otaflux.cli import known
from otaflux.cli.flags import JUDGING, SOURCE, uses
from otaflux.errors import Undecided
from otaflux.model.artifact import Gone, Listing
from otaflux.model.names import STABLE, Device, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.registry.source import Source, Unchanged
from otaflux.settings import Settings


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
    problem: str = field(default="")


@click.command("list")
@click.argument("device", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@uses(*SOURCE, *JUDGING)
def command(settings: Settings, device: str | None, *, as_json: bool) -> int:
    """The devices, or one, with their releases: which is current, and why others are not."""
    source, shelves = asyncio.run(_look(settings, Device.parse(device) if device else None))
    if device and not any(shelf.releases or shelf.problem for shelf in shelves):
        raise Undecided(f"No releases of device '{device}'", hint="`otaflux push` makes one")
    if as_json:
        document = {"source": source, "devices": [asdict(shelf) for shelf in shelves]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif shelves:
        click.echo(_table(shelves))
    for shelf in shelves:
        if shelf.problem:
            click.echo(f"otaflux: {shelf.device}: {shelf.problem}", err=True)
    return 1 if any(shelf.problem for shelf in shelves) else 0


async def _look(settings: Settings, device: Device | None) -> tuple[str, list[Shelf]]:
    """The source's name, and each device with what is known of it."""
    from otaflux import app

    judged_by = app.judged_by(settings)
    async with app.open_source(settings, patient=True) as source:
        prefix = app.namespace(settings).prefix
        records = known.of_source(settings.data_dir, source.name, prefix)
        if device is not None:
            names = {device}
        else:
            names = {*(await source.devices() or ()), *settings.devices, *records}
        shelves = [
            await _shelf(source, name, records.get(name), settings.channels, judged_by)
            for name in sorted(names)
        ]
    return source.name, shelves


async def _shelf(
    source: Source,
    device: Device,
    record: Record | None,
    channels: Sequence[str],
    judged_by: str,
) -> Shelf:
    record = record or Record(device, source.name)
    problem = ""
    moved: frozenset[Tag] = frozenset()
    try:
        listing = await source.tags(device)
        moved = await _moved(source, record)
    except Undecided as error:
        listing = Listing(tuple(release.tag for release in record.served()))
        problem = f"{error}. {error.hint}" if error.hint else str(error)
    else:
        if not listing.repository_known and record.channels:
            problem = (
                "its repository is gone, and devices are still told what it held; to end that,"
                f" stop the server and `otaflux forget {device}`"
            )
    found, ignored = choice.candidates(
        {*listing.tags, *(release.tag for release in record.served())}
    )
    rows = [
        _row(record, each, channels, judged_by, listed=each.tag in listing.tags, moved=moved)
        for each in found
    ]
    rows.extend(
        Row(
            each.tag.text,
            None,
            "ignored",
            reason=f"no version; {each.instead} would be one" if each.instead else "no version",
        )
        for each in ignored
    )
    rows.extend(_withdrawn(record))
    return Shelf(device.name, tuple(rows), problem)


async def _moved(source: Source, record: Record) -> frozenset[Tag]:
    """Tags of current releases that name other bytes by now."""
    moved = set()
    for release in {standing.release for standing in record.channels.values()}:
        answer = await source.resolve(release.device, release.tag, known=release.manifest_digest)
        same = isinstance(answer, Unchanged | Gone) or answer.digest == release.manifest_digest
        if not same:
            moved.add(release.tag)
    return frozenset(moved)


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
            warnings.append(f"its tag moved; these are still the bytes of before{_why(reason)}")
        if any(leaving.release.tag == tag for leaving in record.leaving):
            warnings.append("its tag moved: boards that ran it before will not notice")
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
    for leaving in record.leaving:
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


def _table(shelves: Iterable[Shelf]) -> str:
    """Columns as wide as what stands in them; warnings below their release."""
    lines = [("DEVICE", "TAG", "STATE", "SIZE", "CHIP", "NOTE")]
    for shelf in shelves:
        for row in shelf.releases:
            named = [name for name in row.channels if name != STABLE]
            state = f"{row.state} ({', '.join(named)})" if named else row.state
            size = "" if row.size is None else str(row.size)
            image = f" {row.image_version}" if row.image_version else ""
            note = [row.reason] if row.reason else []
            note.extend(f"warning: {warning}" for warning in row.warnings)
            lines.append(
                (shelf.device, row.tag, state, size, (row.chip or "") + image, "; ".join(note))
            )
        if not shelf.releases:
            lines.append((shelf.device, "-", "no releases", "", "", ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    return "\n".join(
        "  ".join(
            (*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1])
        ).rstrip()
        for line in lines
    )
