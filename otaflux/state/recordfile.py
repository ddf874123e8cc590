"""How a record is written down: JSON with a format number, read back field by field.

A file is only believed where its checksum holds (the SHA-256 of the bytes of `record`, as they
stand there) and every field is there and parses; `read_record` raises `BadRecord` otherwise, and
`restore.py` sets the file aside. Its name is the SHA-256 of its device's. Pure.

    {"format": 1, "checksum": "sha256:…", "record":
    {"device": "lamp", "source": "https://registry.example", "prefix": "firmware",
     "channels": {"stable": {"release": {…}, "since": 1790000000.5, "replaced_another": true}},
     "kept": [{…}], "leaving": [{"release": {…}, "at": 1790000000.5, "withdrawn": false,
     "moved": false}],
     "verdicts": [{"tag": "1.5.0", "manifest_digest": "sha256:…", "reason": "…", "judged_by": "…"}],
     "looked": true, "found_by_poll": false, "had_release": true, "floors": {"stable": "1.4.0"},
     "proofs": [{"manifest_digest": "sha256:…", "keys": ["sha256:…"], "certificates": [],
     "identities": "", "bound": true}]}}

Releases that left carry no notes (summary, page, warnings): nobody reads them, and a burst of
pushes makes many. What came later may be missing: `had_release` is whether there is one then, and
what a firmware is by its bytes (`image`) is read from its file again; without `proofs` nothing was
judged. `md5` and `sha1` are null in a record that was written before they were computed; an
OtaFlux of before sets such a record aside and pulls anew, so that it never tells a sum it has not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from otaflux.errors import BadName, Undecided
from otaflux.model.artifact import Digest
from otaflux.model.image import Image, ZigbeeHeader
from otaflux.model.making import quick
from otaflux.model.names import STABLE, Channel, Device, Tag
from otaflux.model.proof import SignatureProof
from otaflux.model.record import Record, Retired, Standing, Verdict
from otaflux.model.release import Chip, Firmware, Release, Sums
from otaflux.model.signer import IdentitySigner, KeySigner, Signer
from otaflux.model.version import Version
from otaflux.state.recordform import (
    WrittenCertificate,
    WrittenFile,
    WrittenImage,
    WrittenLeaving,
    WrittenProof,
    WrittenRecord,
    WrittenRelease,
    WrittenStanding,
    WrittenVerdict,
)

FORMAT: Literal[1] = 1
_NOTHING: Mapping[Any, Any] = MappingProxyType({})  # one for all records
MAX_RECORD = 4 << 20  # bytes; a record with a hundred verdicts has some 50 KiB


class BadRecord(Undecided):
    """A catalog file that cannot be believed; the message says why."""


_make_record, _make_standing, _make_release = quick(Record), quick(Standing), quick(Release)
_make_sums, _make_firmware = quick(Sums), quick(Firmware)

# What stands before the checksum's digits, between these and the record, and after it.
_BEFORE_SUM = b'{"format": %d, "checksum": "sha256:' % FORMAT
_AFTER_SUM = b'", "record":\n'
_AFTER_BODY = b"}\n"
_SUM_ENDS = len(_BEFORE_SUM) + 2 * hashlib.sha256().digest_size
_BODY_BEGINS = _SUM_ENDS + len(_AFTER_SUM)

_FILE = msgspec.json.Decoder(WrittenFile)
_RECORD = msgspec.json.Decoder(WrittenRecord)


def file_name(device: Device) -> str:
    """The name of a device's file; no two devices share one."""
    return f"{hashlib.sha256(device.name.encode()).hexdigest()}.json"


def write_record(record: Record) -> bytes:
    """The bytes of a record's file.

    Raises `BadRecord` for one above `MAX_RECORD`, which no start would read.
    """
    held = WrittenRecord(
        record.device.name,
        record.source,
        record.prefix,
        {
            str(channel): WrittenStanding(
                _written_release(s.release), s.since, s.replaced_another, s.withdrawn
            )
            for channel, s in record.channels.items()
        },
        tuple(map(_written_release, record.kept)),
        tuple(
            WrittenLeaving(
                _written_release(_without_notes(x.release)), x.at, x.withdrawn, x.moved, x.unsigned
            )
            for x in record.retired
        ),
        tuple(
            WrittenVerdict(v.tag.text, str(v.manifest_digest), v.reason, v.judged_by)
            for v in record.verdicts
        ),
        record.ever_synced,
        record.found_by_poll,
        record.had_release,
        {str(channel): tag.text for channel, tag in record.floors.items()},
        tuple(_written_proof(digest, proof) for digest, proof in record.proofs.items()),
    )
    body = msgspec.json.format(msgspec.json.encode(held), indent=1)
    written = b"".join((_BEFORE_SUM, _hex_sum(body), _AFTER_SUM, body, _AFTER_BODY))
    if len(written) > MAX_RECORD:
        raise BadRecord(
            f"the record of {record.device} would have {len(written)} bytes, more than the"
            f" {MAX_RECORD} that are read"
        )
    return written


def read_record(data: bytes, name: str | None = None) -> Record:
    """The record that a file's bytes hold; raises `BadRecord`.

    `name` is the file's, where it is known; a file of that name holds one device's record only.
    """
    try:
        held = _RECORD.decode(_body(data))
        device = Device.read(held.device)
        if name is not None and name != file_name(device):
            raise BadRecord(f"it lies under the name of another device than {device}")
        return _make_record(
            device,
            _shared(held.source),
            _shared(held.prefix),
            MappingProxyType(
                {
                    _read_channel(channel): _make_standing(
                        _read_release(device, s.release), s.since, s.replaced_another, s.withdrawn
                    )
                    for channel, s in held.channels.items()
                }
            ),
            tuple([_read_release(device, each) for each in held.kept]) if held.kept else (),
            tuple([_read_leaving(device, each) for each in held.leaving]) if held.leaving else (),
            tuple([_read_verdict(each) for each in held.verdicts]) if held.verdicts else (),
            held.looked,
            held.found_by_poll,
            _had_release(held) if held.had_release is None else held.had_release,
            _read_floors(held.floors) if held.floors else _NOTHING,
            MappingProxyType(dict(map(_read_proof, held.proofs))) if held.proofs else _NOTHING,
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadName) as error:
        raise BadRecord(f"not a record of format {FORMAT}: {error}") from error


def _body(data: bytes) -> bytes | msgspec.Raw:
    """The bytes of `record` in a file, once its checksum holds.

    They are where `write_record` puts them in nearly every file, and need no parser to be found; a
    file that somebody laid out otherwise is read as the JSON that it is.
    """
    end = len(data) - (len(_AFTER_BODY) if data.endswith(_AFTER_BODY) else 1)
    if (
        data.startswith(_BEFORE_SUM)
        and data.startswith(_AFTER_SUM, _SUM_ENDS)
        and data.startswith(b"}", end)
    ):
        body = data[_BODY_BEGINS:end]
        if data.startswith(_hex_sum(body), len(_BEFORE_SUM)):
            return body
    file = _FILE.decode(data)
    if file.checksum != f"sha256:{_hex_sum(file.record).decode()}":
        raise BadRecord("its checksum does not hold: it was damaged, or changed by hand")
    return file.record


def _hex_sum(body: bytes | msgspec.Raw) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _had_release(held: WrittenRecord) -> bool:
    return bool(held.channels or held.kept or held.leaving)


@lru_cache(maxsize=1024)
def _read_version(text: str) -> tuple[Tag, Version]:
    """A tag and its version; devices of a fleet that have the same share them."""
    tag = Tag.parse(text)
    return tag, Version.parse(tag.text)


def _read_floors(held: dict[str, str]) -> Mapping[Channel, Tag]:
    floors = {_read_channel(channel): _read_version(tag)[0] for channel, tag in held.items()}
    return MappingProxyType(floors)


@lru_cache(maxsize=64)
def _shared(text: str) -> str:
    """One string of those that are alike: nearly all records have the same source."""
    return text


def _read_channel(name: str) -> Channel:
    return STABLE if name == STABLE else Channel(name)


def _without_notes(release: Release) -> Release:
    return replace(release, summary="", page="", warnings=())


def _written_release(release: Release) -> WrittenRelease:
    sums, chip = release.firmware.sums, release.firmware.chip
    return WrittenRelease(
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
        _written_image(release.firmware.image),
    )


def _written_image(image: Image | None) -> WrittenImage | None:
    if image is None:
        return None
    return WrittenImage(image.kind, image.version, astuple(image.zigbee) if image.zigbee else None)


@lru_cache(maxsize=1024)
def _read_image(held: WrittenImage | None) -> Image | None:
    if held is None:
        return None
    return Image(held.kind, held.version, ZigbeeHeader(*held.zigbee) if held.zigbee else None)


@lru_cache(maxsize=1024)
def _read_firmware(
    sums: tuple[int, int, str, str, str],
    chip: tuple[str, str, str] | None,
    image: WrittenImage | None,
) -> Firmware:
    """One value of those that are alike: devices of a fleet run the same."""
    size, crc32, md5, sha1, sha256 = sums
    digits = _read_digest(f"sha256:{sha256}").hex  # the very string that a blob's digest has
    sums_of_it = _make_sums(size, crc32, md5, sha1, digits)
    return _make_firmware(sums_of_it, Chip(*chip) if chip else None, _read_image(image))


@lru_cache(maxsize=1024)
def _read_digest(text: str) -> Digest:
    return Digest.parse(text)


def _read_release(device: Device, held: WrittenRelease) -> Release:
    tag, version = _read_version(held.tag)
    sums = (held.size, held.crc32, held.md5, held.sha1, held.sha256)
    return _make_release(
        device,
        tag,
        version,
        Digest.parse(held.manifest_digest),
        _read_digest(held.blob_digest),
        _read_firmware(sums, held.chip, held.image),
        held.summary,
        held.page,
        held.warnings,
    )


def _read_leaving(device: Device, held: WrittenLeaving) -> Retired:
    release = _read_release(device, held.release)
    return Retired(release, held.at, held.withdrawn, held.moved, held.unsigned)


def _read_verdict(held: WrittenVerdict) -> Verdict:
    tag, digest = Tag.parse(held.tag), Digest.parse(held.manifest_digest)
    return Verdict(tag, digest, held.reason, held.judged_by)


def _written_proof(digest: Digest, proof: SignatureProof) -> WrittenProof:
    certificates = [each for each in proof.signers if isinstance(each, IdentitySigner)]
    return WrittenProof(
        str(digest),
        tuple(each.fingerprint for each in proof.signers if isinstance(each, KeySigner)),
        tuple(WrittenCertificate(each.identity, each.issuer) for each in certificates),
        proof.identities,
        proof.is_bound,
    )


def _read_proof(held: WrittenProof) -> tuple[Digest, SignatureProof]:
    keys: tuple[Signer, ...] = tuple(map(KeySigner, held.keys))
    certificates = (IdentitySigner(each.identity, each.issuer) for each in held.certificates)
    proof = SignatureProof((*keys, *certificates), held.identities, held.bound)
    return Digest.parse(held.manifest_digest), proof
