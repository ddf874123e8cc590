"""How a record is written down: JSON with a format number, read back field by field.

A file is only believed where every field is there and parses; `read_record` raises `BadRecord`
otherwise, and `restore.py` sets the file aside. Pure.

    {"format": 1, "device": "lamp", "source": "https://registry.example", "prefix": "firmware",
     "channels": {"stable": {"release": {…}, "since": 1790000000.5, "replaced_another": true}},
     "kept": [{…}], "leaving": [{"release": {…}, "at": 1790000000.5, "withdrawn": false}],
     "verdicts": [{"tag": "1.5.0", "manifest_digest": "sha256:…", "reason": "…", "judged_by": "…"}],
     "looked": true, "found_by_poll": false}
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

import msgspec

from otaflux.errors import BadName, Undecided
from otaflux.model.artifact import Digest
from otaflux.model.names import Device, Tag
from otaflux.model.record import Leaving, Record, Standing, Verdict
from otaflux.model.release import Chip, Firmware, Release, Sums
from otaflux.model.version import Version

FORMAT: Literal[1] = 1


class BadRecord(Undecided):
    """A catalog file that cannot be believed; the message says why."""


class _Release(msgspec.Struct, forbid_unknown_fields=True):
    tag: str
    manifest_digest: str
    blob_digest: str
    size: int
    crc32: int
    md5: str
    sha1: str
    sha256: str
    chip: tuple[str, str, str] | None = None
    summary: str = ""
    page: str = ""
    warnings: tuple[str, ...] = ()


class _Standing(msgspec.Struct, forbid_unknown_fields=True):
    release: _Release
    since: float
    replaced_another: bool


class _Leaving(msgspec.Struct, forbid_unknown_fields=True):
    release: _Release
    at: float
    withdrawn: bool


class _Verdict(msgspec.Struct, forbid_unknown_fields=True):
    tag: str
    manifest_digest: str
    reason: str
    judged_by: str


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal[1]
    device: str
    source: str
    prefix: str
    channels: dict[str, _Standing]
    kept: tuple[_Release, ...]
    leaving: tuple[_Leaving, ...]
    verdicts: tuple[_Verdict, ...]
    looked: bool
    found_by_poll: bool


_DECODER = msgspec.json.Decoder(_Record)


def write_record(record: Record) -> bytes:
    """The bytes of a record's file."""
    held = _Record(
        FORMAT,
        record.device.name,
        record.source,
        record.prefix,
        {
            channel: _Standing(_out(s.release), s.since, s.replaced_another)
            for channel, s in record.channels.items()
        },
        tuple(map(_out, record.kept)),
        tuple(_Leaving(_out(x.release), x.at, x.withdrawn) for x in record.leaving),
        tuple(
            _Verdict(v.tag.text, str(v.manifest_digest), v.reason, v.judged_by)
            for v in record.verdicts
        ),
        record.looked,
        record.found_by_poll,
    )
    return msgspec.json.format(msgspec.json.encode(held), indent=1)


def read_record(data: bytes) -> Record:
    """The record that a file's bytes hold; raises `BadRecord`."""
    try:
        held = _DECODER.decode(data)
        device = Device.parse(held.device)
        return Record(
            device,
            held.source,
            held.prefix,
            MappingProxyType(
                {
                    channel: Standing(_in(device, s.release), s.since, s.replaced_another)
                    for channel, s in held.channels.items()
                }
            ),
            tuple(_in(device, release) for release in held.kept),
            tuple(Leaving(_in(device, x.release), x.at, x.withdrawn) for x in held.leaving),
            tuple(
                Verdict(Tag.parse(v.tag), Digest.parse(v.manifest_digest), v.reason, v.judged_by)
                for v in held.verdicts
            ),
            held.looked,
            held.found_by_poll,
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadName) as error:
        raise BadRecord(f"not a record of format {FORMAT}: {error}") from error


def _out(release: Release) -> _Release:
    sums, chip = release.firmware.sums, release.firmware.chip
    return _Release(
        release.tag.text,
        str(release.manifest_digest),
        str(release.blob_digest),
        sums.size,
        sums.crc32,
        sums.md5,
        sums.sha1,
        sums.sha256,
        (chip.family, chip.version, chip.project) if chip else None,
        release.summary,
        release.page,
        release.warnings,
    )


def _in(device: Device, held: _Release) -> Release:
    tag = Tag.parse(held.tag)
    Digest.parse(f"sha256:{held.sha256}")
    sums = Sums(held.size, held.crc32, held.md5, held.sha1, held.sha256)
    return Release(
        device,
        tag,
        Version.parse(tag.text),
        Digest.parse(held.manifest_digest),
        Digest.parse(held.blob_digest),
        Firmware(sums, Chip(*held.chip) if held.chip else None),
        held.summary,
        held.page,
        held.warnings,
    )
