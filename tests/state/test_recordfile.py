"""A record's file is read back as it was, or not believed at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from held_releases import record, release
from hypothesis import example, given
from hypothesis import strategies as st

from otaflux.model.artifact import Digest
from otaflux.model.image import Image, ImageKind, ZigbeeHeader
from otaflux.model.names import Device, Tag
from otaflux.model.record import Record, Retired, Verdict
from otaflux.model.release import Chip, Release
from otaflux.state.recordfile import MAX_RECORD, BadRecord, file_name, read_record, write_record


def being(held: Release, image: Image) -> Release:
    """A release whose firmware is that."""
    return replace(held, firmware=replace(held.firmware, image=image))


ZIGBEE = Image(ImageKind.ZIGBEE, "0x00000007", ZigbeeHeader(1, 2, 7, "lamp", 3, None))
WHOLE = record(
    being(
        release("v1.2.0_b.7", b"new", chip=Chip("ESP32-S3", "1.2.0", "lamp")),
        Image(ImageKind.ESP, "1.2.0"),
    ),
    kept=(being(release("1.1.0", b"kept"), ZIGBEE),),
    retired=(
        Retired(release("1.0.0", b"old"), 1_790_000_001.25, withdrawn=True),
        Retired(release("1.2.0", b"before"), 1_790_000_002.25, moved=True),
    ),
    verdicts=(Verdict(Tag("1.3.0"), Digest("sha256", "0" * 64), "it is empty", "otaflux 0"),),
    found_by_poll=True,
)


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_written_is_read_back(reason: str, at: float) -> None:
    """Every field comes back equal, whatever a registry wrote into texts."""
    old, moved = WHOLE.retired
    (verdict,) = WHOLE.verdicts
    whole = Record(
        WHOLE.device,
        WHOLE.source,
        WHOLE.prefix,
        WHOLE.channels,
        WHOLE.kept,
        (Retired(old.release, at, withdrawn=True), moved),
        (Verdict(verdict.tag, verdict.manifest_digest, reason, verdict.judged_by),),
        ever_synced=True,
        found_by_poll=True,
    )
    read = read_record(write_record(whole))
    assert read == whole
    images = [held.firmware.image for held in read.held()]
    assert images == [held.firmware.image for held in whole.held()]


def test_releases_that_left_are_written_without_their_notes() -> None:
    """Nobody reads these any more, and a burst of pushes makes many."""
    noted = replace(release("1.0.0", b"old"), summary="s" * 500, page="p", warnings=("w",))
    written = write_record(record(release("2.0.0", b"new"), retired=(Retired(noted, 1.0),)))
    (left,) = read_record(written).retired
    assert left.release == release("1.0.0", b"old")


def test_a_record_that_no_start_would_read_is_not_written() -> None:
    """The old one stands then."""
    verdict = Verdict(Tag("1.3.0"), Digest("sha256", "0" * 64), "x" * MAX_RECORD, "otaflux 0")
    with pytest.raises(BadRecord, match="more than the"):
        write_record(record(release("2.0.0", b"new"), verdicts=(verdict,)))


def test_a_file_that_ends_early_is_not_believed() -> None:
    """Cut anywhere, a record is damaged; never a smaller record."""
    data = write_record(WHOLE).rstrip()
    for end in range(len(data)):
        with pytest.raises(BadRecord):
            read_record(data[:end])


@given(st.binary(max_size=50))
@example(b"[" * 100_000)
@example(b"\xff")
def test_garbage_raises_nothing_else(data: bytes) -> None:
    """Whatever lies in a file, the answer is `BadRecord`."""
    with pytest.raises(BadRecord):
        read_record(data)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "../etc"},
        {"unknown": 1},
        {"looked": None},
        {"channels": {"stable": {"release": {}, "since": 1.0, "replaced_another": True}}},
    ],
)
def test_a_field_that_is_wrong_makes_all_of_it_wrong(change: dict[str, Any]) -> None:
    """A later format, a device that cannot be, a field too many or of another kind."""
    with pytest.raises(BadRecord):
        read_record(sealed(json.loads(write_record(WHOLE))["record"] | change))


def test_a_later_format_is_not_believed() -> None:
    """Whatever else it says."""
    with pytest.raises(BadRecord):
        read_record(write_record(WHOLE).replace(b'"format": 1', b'"format": 2'))


@given(st.data())
def test_a_byte_that_flipped_is_noticed(data: st.DataObject) -> None:
    """Also where the record still parses: a digit of a sum, a letter of a tag."""
    whole = bytearray(write_record(WHOLE))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert read_record(bytes(whole)) == WHOLE  # white space outside of what is summed
    except BadRecord:
        return


@pytest.mark.parametrize("indent", [None, 0, 3])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", "   "])
@pytest.mark.parametrize("order", [("format", "checksum"), ("checksum", "format")])
def test_a_file_that_is_laid_out_otherwise_is_read_as_json(
    indent: int | None, end: str, order: tuple[str, str]
) -> None:
    """The checksum is that of the record's bytes as they stand there, wherever that is."""
    body = json.dumps(json.loads(write_record(WHOLE))["record"], indent=indent)
    checksum = f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
    said = {"format": "1", "checksum": json.dumps(checksum)}
    first, second = order
    for space in ("", " ", "\n"):
        head = f'"{first}":{space}{said[first]}, "{second}": {said[second]}'
        text = f'{{{head}, "record":{space}{body}}}'
        assert read_record((text + end).encode()) == WHOLE
        with pytest.raises(BadRecord, match="checksum"):
            read_record((text.replace("1.1.0", "1.1.9") + end).encode())


def test_a_record_under_the_name_of_another_device_is_not_believed() -> None:
    """Or one device would be given the firmware of another."""
    data = write_record(WHOLE)
    assert read_record(data, file_name(WHOLE.device)) == WHOLE
    with pytest.raises(BadRecord, match="another device than lamp"):
        read_record(data, file_name(Device("pump")))


@pytest.mark.parametrize("sha256", ["", "../../../etc/passwd", "0" * 63, "G" * 64])
def test_a_digest_that_is_none_never_becomes_a_path(sha256: str) -> None:
    """The file's name comes from the record, so it has to be a digest."""
    document = json.loads(write_record(WHOLE))["record"]
    document["channels"]["stable"]["release"]["sha256"] = sha256
    with pytest.raises(BadRecord):
        read_record(sealed(document))


def sealed(record: dict[str, Any]) -> bytes:
    """A file with a checksum that holds."""
    body = json.dumps(record)
    checksum = f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
    return f'{{"format": 1, "checksum": "{checksum}", "record": {body}}}'.encode()


def test_devices_that_run_the_same_firmware_share_it() -> None:
    """A fleet's firmware takes memory once, not once for each device."""
    held = record(release("1.0.0", b"firmware"))
    other = replace(held, device=Device("other"))
    read = [read_record(write_record(each)).current() for each in (held, other)]
    assert read[0] is not None
    assert read[1] is not None
    assert read[0].firmware is read[1].firmware
