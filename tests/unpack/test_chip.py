"""What an ESP image says of itself is read, and nothing is claimed that nobody can know."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packings.firmware import esp_image

from otaflux.model.release import Chip
from otaflux.model.version import Version
from otaflux.unpack.chip import HEADER, changed_family, chip_of, disagreements


@pytest.mark.parametrize(
    ("chip_id", "family"),
    [
        (0x00, "ESP32"),
        (0x02, "ESP32-S2"),
        (0x05, "ESP32-C3"),
        (0x09, "ESP32-S3"),
        (0x0C, "ESP32-C2"),
        (0x0D, "ESP32-C6"),
        (0x10, "ESP32-H2"),
        (0x12, "ESP32-P4"),
        (0x14, "ESP32-C61"),
        (0x17, "ESP32-C5"),
    ],
)
def test_the_chip_family_is_spelt_as_esphome_does(chip_id: int, family: str) -> None:
    """With version and project where the image has a description, without them where not."""
    assert chip_of(esp_image(chip_id)) == Chip(family, "1.4.0", "sensor")
    assert chip_of(esp_image(chip_id, described=False)) == Chip(family)
    assert chip_of(esp_image(chip_id)[:100]) == Chip(family)


def test_an_esp8266_image_is_claimed_for_no_family() -> None:
    """It begins with the same byte, and has a segment where others name their chip."""
    for address in (0x4010_0000, 0x3FFE_8000, 0x4020_1010, 0x4010_F000):
        for size in (0x0000_0000, 0x0000_0010, 0x0001_0000, 0x000C_0000 + 0x0C):
            header = struct.pack("<BBBBIII", 0xE9, 1, 2, 0x40, 0x4010_F4E8, address, size)
            assert chip_of(header + bytes(300)) is None


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"\xe9",
        esp_image()[:31],
        b"\xea" + esp_image()[1:],
        esp_image(0x77),
        esp_image(0xFFFF),
        b"\xe9" * 400,
        b"\xe9\0" + esp_image()[2:],
        esp_image()[:23] + b"\x02" + esp_image()[24:],
    ],
)
def test_what_is_no_esp_image_has_no_chip(image: bytes) -> None:
    """Unknown images are fine."""
    assert chip_of(image) is None


@given(st.binary(max_size=300), st.binary(max_size=HEADER))
def test_any_bytes_are_read(noise: bytes, tail: bytes) -> None:
    """Whatever follows the magic, there is a printable answer."""
    for head in (noise, b"\xe9" + noise, esp_image()[:0x30] + tail):
        chip = chip_of(head)
        if chip is not None:
            assert (chip.family + chip.version + chip.project).isprintable()
            assert len(chip.version) <= 32


@pytest.mark.parametrize(
    ("inside", "tag", "warns"),
    [
        ("1.4.0", "1.4.0", False),
        ("v1.4.0", "1.4.0", False),
        ("1.4", "1.4.0", False),
        ("1.4.0", "1.4.0+build.7", False),
        ("1.4.0+a", "1.4.0+b", False),
        ("", "1.4.0", False),
        ("3f2a9c1-dirty", "1.4.0", False),
        ("esp-idf: v5.1.2", "1.4.0", False),
        ("1.4.0-rc.1.with.a.long.name.tha", "1.4.0-rc.1.with.a.long.name.that.is.cut", False),
        ("1.3.9", "1.4.0", True),
        ("1.4.0-3-g3f2a9c1", "1.4.0", True),
        ("1.4.0-dirty", "1.4.0", True),
        ("1.4.0", "1.4.0-rc.1", True),
        ("1.5", "1.4.0", True),
    ],
)
def test_a_version_inside_that_differs_from_the_tag_is_told(
    inside: str, tag: str, warns: bool
) -> None:
    """Where it is a version, and not only another build or cut short by the format."""
    told = disagreements(Chip("ESP32", inside), Version.parse(tag))
    assert bool(told) == warns
    assert all(inside in warning and tag in warning for warning in told)
    assert disagreements(None, Version.parse(tag)) == ()


def test_another_chip_family_than_before_is_told() -> None:
    """Only where both are known."""
    old, new = Chip("ESP32"), Chip("ESP32-C3", "2.0.0")
    (warning,) = changed_family(new, old)
    assert "ESP32-C3" in warning
    assert changed_family(new, Chip("ESP32-C3", "1.0.0")) == ()
    assert changed_family(new, None) == changed_family(None, old) == ()
